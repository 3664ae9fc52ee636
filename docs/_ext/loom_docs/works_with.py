"""The packages that are tested with ours, from the table that sets their tests up."""

from __future__ import annotations

from collections.abc import Iterable

from tests.packages.table import Row, rows, versions

from .markdown import code
from .markdown import table as markdown_table

STATES = {"works": "works", "expected": "not yet"}


def table(kind: str) -> str:
    """Those that keep something for a `request`, or those that look at the `engine`."""
    if kind == "request":
        header = ["package", "version", "what it keeps", "to set", "limits", "state"]
        return markdown_table(header, request_rows(rows().values()))
    header = ["package", "version", "what it does with the ENGINE", "to set", "limits"]
    return markdown_table(header, engine_rows(rows().values()))


def request_rows(given: Iterable[Row]) -> list[list[str]]:
    return [
        [*named(row), row.keeps, row.set, row.limits, STATES[row.state]]
        for row in by_package(given)
        if row.keeps
    ]


def engine_rows(given: Iterable[Row]) -> list[list[str]]:
    written = [[*named(row), row.looks, row.set, row.limits] for row in by_package(given)]
    return [
        cells for place, cells in enumerate(written) if cells[2] and cells not in written[:place]
    ]


def by_package(given: Iterable[Row]) -> list[Row]:
    return sorted(given, key=lambda row: (row.package, row.name))


def named(row: Row) -> list[str]:
    return [code(row.package), versions()[row.package]]
