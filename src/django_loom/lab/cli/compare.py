"""`loom lab compare`: the user's own project under each server."""

from __future__ import annotations

import signal
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from django_loom.lab.cli.command_end import finish, interrupt
from django_loom.lab.cli.options import (
    CONNECTION,
    CROSS_CHECK,
    depth_of,
    header,
    keep_alive,
    servers_of,
    whole_numbers,
    with_cookies,
)
from django_loom.lab.exceptions import UsageError
from django_loom.lab.experiments.compare import EXPERIMENT
from django_loom.lab.reports.report_files import check_place
from django_loom.lab.runs.progress import shown
from django_loom.lab.runs.runner import run_kinds, steps
from django_loom.lab.servers.project import Project, described
from django_loom.lab.servers.same_answers import check_alike

DEBUG_NOTE = (
    "DEBUG is on in these settings: it costs time and memory, and production has it off. Measure"
    " with the settings of production."
)


@click.command(context_settings={"show_default": True})
@click.option("--django", "settings", required=True, help="Settings, such as mysite.settings.")
@click.option("--path", "paths", multiple=True, required=True, help="A page, such as /reports/.")
@click.option("-H", "--header", "headers", type=header, multiple=True, help="'Name: value'.")
@click.option("-C", "--cookie", "cookies", multiple=True, help="'name=value'.")
@click.option("--servers", default=",".join(EXPERIMENT.servers), help="Which to compare.")
@click.option("-c", "--clients", type=whole_numbers, help="Concurrent clients, such as 5,10,20.")
@click.option("--quick", is_flag=True, help="Only two numbers of clients, and short loads.")
@click.option("--repeats", type=int, help="How often each point is measured.")
@click.option("--seconds", type=float, help="How long each load sends.")
@click.option("-n", "--requests", type=int, help="How many requests each load sends at most.")
@click.option("--connection", type=keep_alive, help=CONNECTION)
@click.option("--cross-check", is_flag=True, default=None, help=CROSS_CHECK)
@click.option(
    "--chdir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    help="The directory that has manage.py.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("out"), help="Where reports go."
)
def compare(
    settings: str,
    paths: tuple[str, ...],
    headers: tuple[tuple[str, str], ...],
    cookies: tuple[str, ...],
    servers: str,
    connection: bool | None,
    chdir: Path,
    out: Path,
    **options: Any,
) -> None:
    """Run a Django project under each server and compare how they answer its pages.

    \b
    wsgi     gunicorn, one sync worker
    threads  gunicorn, one worker with threads
    asgi     uvicorn with Django's own ASGI application
    loom     uvicorn with django-loom: its engine and its app are put in

    The project is not edited: what the servers need is in a directory that is removed at the end.
    Each server is one process, all on the same core, and only GET requests are made. There is one
    report for each path.
    """
    for path in paths:
        if not path.startswith("/"):
            raise UsageError(f"expected a path such as /reports/, not {path!r}")
    depth = depth_of(wide=False, keep_alive=connection, **options)
    names = servers_of(EXPERIMENT.servers, servers)
    check_place(out)
    signal.signal(signal.SIGTERM, interrupt)  # so that no server is left then either
    project = described(settings, chdir.resolve())
    loads = steps(EXPERIMENT, depth, names)
    with tempfile.TemporaryDirectory(prefix="loom-lab-") as modules:
        kinds = project.kinds(names, Path(modules), with_cookies(headers, cookies))
        for path in paths:
            pages = [replace(each, page=path) for each in kinds]
            with shown(path, loads) as progress:
                outcome = run_kinds(EXPERIMENT, depth, pages, progress, path, check_alike)
            outcome.notes += notes(project)
            outcome.conditions["settings"] = project.settings
            outcome.conditions["engines"] = project.engines
            finish(outcome, out)


def notes(project: Project) -> list[str]:
    return [DEBUG_NOTE] if project.debug else []
