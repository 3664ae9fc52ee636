"""What packages keep for a request is that request's own, as it is on Django alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pytest

from .table import Row, rows

Database = Callable[[str], dict[str, Any]]
SITES = [
    pytest.param(row, engine, id=f"{row.name}-{engine}")
    for row in rows().values()
    for engine in row.engines
]


def findings(row: Row, engine: str, world: str, database: dict[str, Any]) -> list[Any]:
    """What was expected on the site and what came, from a process of its own."""
    try:
        version(row.package)
    except PackageNotFoundError:
        pytest.skip(f"{row.package} is not installed: {row.limits}")
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


@pytest.mark.parametrize("world", ["loom", "stock"])
@pytest.mark.parametrize(("row", "engine"), SITES)
def test_each_visitor_finds_its_own(
    row: Row, engine: str, world: str, site_database: Database
) -> None:
    found = findings(row, engine, world, site_database(engine))
    assert found
    assert wrong(found) == {}


def test_a_difference_is_told_in_short() -> None:
    found = [["a", [1, 2, 3], [1, 3, 3]], ["b", 1, 1], ["c", None, [1]], ["d", [1], []]]
    assert wrong(found) == {
        "a": "1 of 3, the first: expected 2, got 3",
        "c": "expected None, got [1]",
        "d": "expected 1, got 0: []",
    }
