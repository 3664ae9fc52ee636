"""Run the experiment `orm`: its database, its site, and a run for each added latency."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from django_loom.lab.exceptions import UsageError
from django_loom.lab.experiments.experiment import Depth
from django_loom.lab.experiments.orm import EXPERIMENT, LATENCIES, points
from django_loom.lab.load.plan import LoadPlan
from django_loom.lab.load.process import run_processes
from django_loom.lab.outcomes.outcome import Outcome
from django_loom.lab.runs.progress import shown
from django_loom.lab.runs.runner import run_kinds, steps
from django_loom.lab.servers.catalogue import SERVED, Kind
from django_loom.lab.servers.databases import Database, database, further_away
from django_loom.lab.servers.project import Project, environment
from django_loom.lab.servers.same_answers import check_alike
from django_loom.lab.servers.server import Server

SETTINGS = "lab_orm_settings"


def orm_outcomes(depth: Depth, servers: tuple[str, ...], postgres: str | None) -> Iterator[Outcome]:
    """The outcome of each latency; an interrupted one is the last.

    Raises `UsageError` if the database cannot be used.
    """
    with (
        tempfile.TemporaryDirectory(prefix="loom-lab-") as directory,
        database(postgres, Path(directory)) as near,
        table(near, Path(directory)),
    ):
        for latency in LATENCIES if near.has_latency else LATENCIES[:1]:
            with further_away(near, latency) as reached:
                outcome = run(depth, servers, reached, latency, Path(directory))
            yield outcome
            if not outcome.complete:
                return


def run(
    depth: Depth, servers: tuple[str, ...], reached: Database, latency: float, directory: Path
) -> Outcome:
    experiment = replace(EXPERIMENT, points=partial(points, latency=latency, pools=reached.pools()))
    kinds = site(servers, reached, directory)
    subject = f"{latency:g} ms added"
    with shown(f"orm, {subject}", steps(experiment, depth, servers)) as progress:
        check = partial(check_warm, clients=max(depth.clients))
        outcome = run_kinds(experiment, depth, kinds, progress, subject, check)
    outcome.conditions["database"] = reached.what
    outcome.notes.append(f"Database: {reached.what}; {subject} to each round trip.")
    if not reached.has_latency:
        outcome.notes.append("No latency can be added to SQLite, so there is one report only.")
    return outcome


def check_warm(servers: dict[str, Server], clients: int) -> list[str]:
    """Check as `check_alike` does, and have each server open its connections."""
    notes = check_alike(servers)
    for server in servers.values():
        # Each takes several round trips, which are not what is asked here.
        url = server.url + server.kind.path(0)
        run_processes(LoadPlan(url=url, clients=clients, requests=2 * clients, warmup=0))
    return notes


def site(servers: tuple[str, ...], reached: Database, directory: Path) -> list[Kind]:
    """The site with that database under each server."""
    write_settings(reached.django(), directory)
    project = Project(SETTINGS, SERVED, {"default": reached.engine}, debug=False)
    return [
        replace(each, page="/sync/" if each.name == "threads" else "/async/")
        for each in project.kinds(servers, directory, headers=())
    ]


@contextmanager
def table(near: Database, directory: Path) -> Iterator[None]:
    """The site's table, which is dropped at the end."""
    write_settings(near.django(pooled=False), directory)  # whose pool would try again and again
    change_table("create", directory)
    try:
        yield
    finally:
        write_settings(near.django(pooled=False), directory)
        change_table("drop", directory)


def change_table(what: str, directory: Path) -> None:
    changed = subprocess.run(
        [sys.executable, str(SERVED / "orm_table.py"), what],
        env=environment(SETTINGS, directory),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,  # Ctrl-C ends the measurement, not the cleaning up
    )
    if changed.returncode:
        raise UsageError(f"cannot {what} the table of the site: {last_error(changed.stderr)}")


def last_error(output: str) -> str:
    """The last exception of a traceback, in one line."""
    lines = output.strip().splitlines()
    first = max((n for n, line in enumerate(lines) if line[:1].strip()), default=0)
    return " ".join(line.strip() for line in lines[first:])


def write_settings(default: dict[str, Any], directory: Path) -> None:
    directory.joinpath(f"{SETTINGS}.py").write_text(
        f"from orm_site.settings import *\n\nDATABASES = {{'default': {default!r}}}\n"
    )
