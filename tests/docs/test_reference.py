"""The documentation builds without a warning, and its reference has everything public."""

from __future__ import annotations

import ast
import html
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest

import django_loom
from django_loom import checks, exceptions
from django_loom.cli.commands import loom
from django_loom.conf import sections
from django_loom.db.pool_options import PoolOptions
from django_loom.db.statistics import PoolStatistics
from django_loom.http.view_threads import ThreadStatistics
from django_loom.lab.cli.main import lab
from django_loom.lab.experiments import EXPERIMENTS
from django_loom.lab.servers.catalogue import KINDS
from tests.packages.table import rows, versions

pytestmark = pytest.mark.timeout(120)  # the first one waits for the build


def text(site: Path, page: str) -> str:
    """What the page says, without its tags and without the navigation beside it."""
    content = site.joinpath(f"{page}.html").read_text()
    article = content[content.index("<article") : content.index("</article>")]
    return html.unescape(re.sub("<[^>]+>", "", article))


def missing(site: Path, page: str, names: list[str]) -> list[str]:
    assert names
    written = text(site, page)
    return [name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}\b", written)]


def test_every_public_name(site: Path) -> None:
    assert not missing(site, "reference/api", [f"django_loom.{n}" for n in django_loom.__all__])


def test_every_key_of_the_settings(site: Path) -> None:
    keys = [field.name for each in (*sections(), PoolOptions) for field in fields(each)]
    assert not missing(site, "reference/settings", keys)


def test_every_figure_of_the_statistics(site: Path) -> None:
    names = [each.name for kind in (PoolStatistics, ThreadStatistics) for each in fields(kind)]
    assert not missing(site, "reference/pool", names)


def test_every_metric_has_the_name_that_it_is_given() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "pool.md"
    figures = PoolStatistics(*range(len(fields(PoolStatistics)))).as_metrics()
    assert set(re.findall(r"`(db\.client\.connection[\w.]+)`", page.read_text())) == set(figures)


def test_every_check(site: Path) -> None:
    ids = [
        ast.literal_eval(node.value)
        for path in Path(checks.__file__).parent.rglob("checks.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.keyword) and node.arg == "id"
    ]
    assert ids
    assert not missing(site, "reference/checks", ids)


def test_every_exception(site: Path) -> None:
    names = [
        name
        for name, value in vars(exceptions).items()
        if inspect.isclass(value) and value.__module__ == exceptions.__name__
    ]
    assert not missing(site, "reference/exceptions", names)


def test_every_command_and_option(site: Path) -> None:
    names = [*options(loom, "loom"), *options(lab, "loom lab")]
    assert "--grace" in names
    assert not missing(site, "reference/cli", names)


def options(group: click.Group, path: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if command.name == "lab":
            continue
        yield f"{path} {name}"
        for each in command.params:
            yield from each.opts if isinstance(each, click.Option) else ()


def test_every_experiment_and_server(site: Path) -> None:
    assert not missing(site, "reference/lab", [*EXPERIMENTS, *KINDS])


def test_every_package_that_is_tested_with_its_version(site: Path) -> None:
    page = text(site, "reference/works-with")
    for row in rows().values():
        assert re.search(rf"\b{row.package}\s+{re.escape(versions()[row.package])}\b", page)
        told = [part for part in (row.keeps, row.looks, row.set, row.limits) if part]
        assert all(part.replace("`", "") in page for part in told)


def test_every_page_can_be_reached(site: Path) -> None:
    assert site.joinpath("index.html").exists()
    assert site.joinpath("decisions", "0001-bridge.html").exists()
