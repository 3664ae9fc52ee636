"""django_loom keeps to its layers, and the rules that say so can fail."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter

import pytest

from tests.architecture import (
    RANKS,
    imported_modules,
    lab_faults,
    layer_faults,
    modules,
    parse,
    rebinding_faults,
    room_of,
    variable_faults,
)


@pytest.mark.parametrize("module", modules())
def test_imports_go_down_the_layers(module: str) -> None:
    assert room_of(module) in RANKS or room_of(module) == "lab", "add the new room to LAYERS"
    assert not list(layer_faults(module, parse(module)))


@pytest.mark.parametrize("module", [name for name in modules() if name.startswith("lab.")])
def test_imports_in_the_lab_go_down_its_layers(module: str) -> None:
    assert not list(lab_faults(module, parse(module)))


def test_an_import_that_goes_up_in_the_lab_is_found() -> None:
    source = "from django_loom.lab.reports import tables\nfrom ..processes import pinning\n"
    (fault,) = lab_faults("lab.load.plan", ast.parse(source))
    assert "reports is not below load" in fault


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: imported_modules(module) for module in modules()}
    assert graph["db.storage"] >= {"db.leased", "db.parking"}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names them


@pytest.mark.parametrize("module", [name for name in modules() if name != "reroute"])
def test_only_reroute_rebinds_foreign_names(module: str) -> None:
    assert not list(rebinding_faults(module, parse(module)))


@pytest.mark.parametrize("module", [name for name in modules() if name != "bridge.variables"])
def test_each_context_variable_is_known_to_the_bridge(module: str) -> None:
    assert not list(variable_faults(module, parse(module)))


@pytest.mark.parametrize("made", ["ContextVar", "contextvars.ContextVar", "ContextVar[int]"])
def test_a_context_variable_that_the_bridge_does_not_know_is_found(made: str) -> None:
    assert len(list(variable_faults("db.pools", ast.parse(f"x = {made}('x', default=1)")))) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("bridge.calls", "import django.db"),
        ("bridge.calls", "from ..db import pools"),
        ("bridge.calls", "import django_loom"),
        ("bridge.calls", "def late():\n    from django_loom import atomic"),
        ("db.pools", "from django_loom.guard import hooks"),
        ("db.pools", "from ..http import requests"),
        ("db.pools", "import psycopg"),
        ("db.sqlite3.base", "from psycopg import sql"),
        ("realtime.groups", "from ..http._parser import parse"),
        ("exceptions", "from . import conf"),
        ("lab.load", "from ..bridge import run_sync"),
        ("lab.load", "import django"),
    ],
)
def test_a_wrong_import_is_found(module: str, source: str) -> None:
    assert len(list(layer_faults(module, ast.parse(source)))) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("bridge.calls", "import asyncio, greenlet\nfrom ..exceptions import LoomError"),
        ("db.pools", "from .. import conf\nfrom ..bridge import run_sync\nimport django.db"),
        ("db.postgresql.base", "import psycopg"),
        ("db.pools", "if TYPE_CHECKING:\n    import psycopg"),
        ("testing.plugin", "from .. import run_sync"),
    ],
)
def test_a_right_import_is_not_found(module: str, source: str) -> None:
    assert not list(layer_faults(module, ast.parse(source)))


@pytest.mark.parametrize(
    "statement",
    [
        "query.QuerySet = Ours",
        "query.QuerySet.aget = ours",
        "a, query.QuerySet = 1, 2",
        "query.LIMIT += 1",
        "del query.QuerySet",
        "query.__dict__['QuerySet'] = Ours",
        "setattr(query, 'QuerySet', Ours)",
        "setattr(anything, name, Ours)",
    ],
)
def test_a_rebound_name_is_found(statement: str) -> None:
    tree = ast.parse(f"from django.db.models import query\n{statement}")
    assert len(list(rebinding_faults("db.pools", tree))) == 1


@pytest.mark.parametrize("statement", ["self.x = 1", "cell.x = query", "setattr(self, name, 1)"])
def test_an_attribute_of_ours_is_not_found(statement: str) -> None:
    tree = ast.parse(f"from django.db.models import query\n{statement}")
    assert not list(rebinding_faults("db.pools", tree))
