"""What packages keep for a request is that request's own, as it is on Django alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from typing import Any

import pytest

from .table import FOLDER, STATES, Row, rows, versions

Database = Callable[[str], dict[str, Any]]
# On Django alone with one engine: that shows that what is expected of a site is right.
SITES = [
    pytest.param(row, engine, world, id=f"{row.name}-{engine}-{world}")
    for row in rows().values()
    for engine in row.engines
    for world in ("loom", "stock")
    if world == "loom" or engine == row.engines[0]
]


def findings(row: Row, engine: str, world: str, database: dict[str, Any]) -> list[Any]:
    """What was expected on the site and what came, from a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.packages.child", row.name, engine],
        env=os.environ | {"PACKAGES_DATABASE": json.dumps(database), "PACKAGES_WORLD": world},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    sys.stderr.write(done.stderr[-5000:])  # shown if the test fails
    result: list[Any] = json.loads(done.stdout)
    return result


def wrong(found: list[Any]) -> dict[str, str]:
    """What differs from what was expected, in short."""
    return {what: difference(expected, got) for what, expected, got in found if expected != got}


def difference(expected: Any, got: Any) -> str:
    if not isinstance(expected, list) or not isinstance(got, list):
        return f"expected {expected!r}, got {got!r}"
    if len(expected) != len(got):
        return f"expected {len(expected)}, got {len(got)}: {str(got[:3])[:500]}"
    pairs = [pair for pair in zip(expected, got, strict=True) if pair[0] != pair[1]]
    first = "expected {!r}, got {!r}".format(*pairs[0])[:500]
    return f"{len(pairs)} of {len(got)}, the first: {first}"


@pytest.mark.parametrize(("row", "engine", "world"), SITES)
def test_each_visitor_finds_its_own(
    row: Row, engine: str, world: str, site_database: Database
) -> None:
    found = findings(row, engine, world, site_database(engine))
    assert found
    assert wrong(found) == {}
    if world == "loom":
        assert row.state == "works", "its tests pass: say so in works_with.toml"


def test_each_site_has_a_row_and_each_row_a_site() -> None:
    sites = {path.stem for path in FOLDER.joinpath("sites").glob("[!_]*.py")}
    assert {row.site or row.name for row in rows().values()} == sites


@pytest.mark.parametrize("row", rows().values(), ids=lambda row: row.name)
def test_a_row_says_what_it_should(row: Row) -> None:
    assert row.state in STATES
    assert row.keeps or row.looks
    assert versions()[row.package]
    assert all(versions()[package] for package in row.needs)


def test_each_package_of_the_group_has_a_row() -> None:
    with FOLDER.parents[1].joinpath("pyproject.toml").open("rb") as file:
        group = tomllib.load(file)["dependency-groups"]["packages"]
    named = {re.split("[<>=~]", requirement)[0] for requirement in group}
    assert named == {name for row in rows().values() for name in (row.package, *row.needs)}


def test_a_difference_is_told_in_short() -> None:
    found = [["a", [1, 2, 3], [1, 3, 3]], ["b", 1, 1], ["c", None, [1]], ["d", [1], []]]
    assert wrong(found) == {
        "a": "1 of 3, the first: expected 2, got 3",
        "c": "expected None, got [1]",
        "d": "expected 1, got 0: []",
    }
