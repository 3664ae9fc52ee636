"""A plugin of pytest, for tests of an installed django_loom: no module is that of another place."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def all_of_it_is_installed() -> Iterator[None]:
    yield
    modules = {name: module for name, module in sys.modules.items() if is_ours(name)}
    folder = sysconfig.get_path("purelib")
    others = [name for name, module in modules.items() if not file_of(module).startswith(folder)]
    assert modules
    assert not others, f"not from {folder}"


def is_ours(name: str) -> bool:
    return name.partition(".")[0] == "django_loom"


def file_of(module: object) -> str:
    return str(getattr(module, "__file__", ""))
