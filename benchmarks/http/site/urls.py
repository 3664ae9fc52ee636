"""The paths of views, by their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.urls import URLPattern, path

from benchmarks.http import answers


def paths(*views: Callable[..., Any]) -> list[URLPattern]:
    """A pattern for each view, in this order, which is that in which Django tries them."""
    return [path(answers.path(view), view) for view in views]
