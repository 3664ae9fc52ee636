"""Reads works_with.toml: the packages, how their sites are set up, what the docs say of them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
TABLE = FOLDER / "works_with.toml"
LOCK = FOLDER.parents[1] / "uv.lock"
STATES = {
    "expected",  # the tests do not pass yet
    "works",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A way to use a package, which a site shows."""

    name: str
    package: str
    keeps: str = ""
    """What the package keeps for each request."""
    looks: str = ""
    """What it does with the name of the ENGINE."""
    site: str = ""
    """The module of the site, where it is not the row's name."""
    needs: list[str] = field(default_factory=list)
    """Other packages that are installed for the site."""
    set: str = ""
    """What a project sets for django-loom, beside what the package wants on Django alone."""
    limits: str = ""
    state: str = "expected"
    engines: list[str] = field(default_factory=lambda: ["postgresql"])
    engine: str = "{engine}"
    apps: list[str] = field(default_factory=list)
    middleware: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    role: bool = False
    """Whether the site has a role of its own, with the name of its database."""

    @property
    def module(self) -> str:
        return f"tests.packages.sites.{self.site or self.name}"


def rows() -> dict[str, Row]:
    """The rows by their names."""
    with TABLE.open("rb") as file:
        return {name: Row(name=name, **given) for name, given in tomllib.load(file).items()}


def versions() -> dict[str, str]:
    """The versions that the tests are run with, by package."""
    with LOCK.open("rb") as file:
        return {each["name"]: each.get("version", "") for each in tomllib.load(file)["package"]}
