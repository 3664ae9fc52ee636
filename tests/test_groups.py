"""The markers of the tests: the tables name what is there, and `fast` touches every room."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.groups import GATHERED, GROUPS, LONG, gathered, has_long_tests, is_in, markers_of

ROOT = Path(__file__).parents[1]
NAMED = [place for places in [*GROUPS.values(), LONG] for place in places]
ROOMS = {path.parent.name for path in ROOT.glob("src/django_loom/*/__init__.py")}
OF_REROUTE = {"replacements"}  # whose tests are those of what is replaced


@pytest.mark.parametrize("place", sorted({*NAMED, *GATHERED}))
def test_what_a_table_names_is_there(place: str) -> None:
    path, *names = place.split("::")
    scope: ast.AST | None = None
    if (ROOT / path).is_file():
        scope = ast.parse((ROOT / path).read_text())
    assert scope or ((ROOT / path).is_dir() and not names)
    for name in names:
        scope = next(each for each in ast.iter_child_nodes(scope) if name_of(each) == name)


def name_of(node: ast.AST) -> str:
    return getattr(node, "name", "")


def test_no_place_is_named_twice() -> None:
    assert [place for place in NAMED if is_in(place, set(NAMED) - {place})] == []
    assert len(set(NAMED)) == len(NAMED)


@pytest.mark.parametrize("room", sorted({*ROOMS, "demo", "docs", "packages"} - OF_REROUTE))
def test_fast_touches_every_room(room: str) -> None:
    modules = [str(path.relative_to(ROOT)) for path in ROOT.glob(f"tests/{room}/test_*.py")]
    assert any("fast" in markers_of(module, "asyncio") for module in modules)


@pytest.mark.parametrize(
    ("nodeid", "loop", "markers"),
    [
        ("tests/db/test_pool.py::test_it", "asyncio", ["fast"]),
        ("tests/db/test_pool.py::test_it", "uvloop", []),
        ("tests/db/test_cancel_fuzz.py::test_it", "asyncio", []),
        ("tests/db/test_faults.py::test_it[x]", "asyncio", ["faults"]),
        ("tests/browser/test_home.py::test_it", "asyncio", ["browser"]),
        ("tests/lab/test_cli.py::test_a_real_load", "asyncio", ["servers"]),
        ("tests/lab/test_cli.py::test_a_real_load_of_none", "asyncio", ["fast"]),
    ],
)
def test_the_markers_of_a_test(nodeid: str, loop: str, markers: list[str]) -> None:
    assert markers_of(nodeid, loop) == markers


@pytest.mark.parametrize(
    ("nodeid", "is_long"),
    [
        ("tests/db/test_pool.py::test_it[uvloop]", False),
        ("tests/lab/test_cli.py::test_options_of_a_load", True),
        ("tests/db/test_cancel_fuzz.py::test_it", True),
        ("tests/browser/test_home.py::test_it", True),
    ],
)
def test_modules_that_take_long_are_known_by_their_names(nodeid: str, is_long: bool) -> None:
    assert has_long_tests(nodeid) is is_long


@pytest.mark.parametrize(
    ("nodeid", "whole"),
    [
        ("tests/http/servers/test_basics.py::test_it[uvicorn-/plain]", "tests/http/servers"),
        ("tests/http/test_body.py::test_it[a::b]", "tests/http/test_body.py"),
        ("tests/http/test_placement.py::TestMark::test_it", "tests/http/test_placement.py"),
    ],
)
def test_what_shares_a_server_is_run_by_one_process(nodeid: str, whole: str) -> None:
    assert gathered(nodeid) == whole
