"""The app's place in the project."""

from __future__ import annotations

from django.apps import AppConfig


class HomeConfig(AppConfig):
    """Configuration of the app."""

    name = "demo.home"
