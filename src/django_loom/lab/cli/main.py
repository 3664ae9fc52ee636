"""The commands of `loom lab`, and their options."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import click

from django_loom.lab.cli.command_end import finish, interrupt
from django_loom.lab.cli.compare import compare
from django_loom.lab.cli.loads import calibrate, url
from django_loom.lab.cli.options import (
    CONNECTION,
    CROSS_CHECK,
    depth_of,
    keep_alive,
    numbers,
    servers_of,
    whole_numbers,
)
from django_loom.lab.cli.results import assert_
from django_loom.lab.cli.results import report as report_command
from django_loom.lab.exceptions import LabError
from django_loom.lab.experiments import experiment
from django_loom.lab.experiments.orm import EXPERIMENT as ORM
from django_loom.lab.reports.report_files import check_place
from django_loom.lab.runs.orm_runs import orm_outcomes
from django_loom.lab.runs.progress import shown
from django_loom.lab.runs.runner import run as run_experiment
from django_loom.lab.runs.runner import steps


class Refused(click.ClickException):
    """What was asked for cannot be done; its text says why."""

    exit_code = 2


class LabGroup(click.Group):
    """Shows the lab's own exceptions as one clear message."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LabError as error:
            raise Refused(str(error)) from error


@click.group(cls=LabGroup, context_settings={"help_option_names": ["-h", "--help"]})
def lab() -> None:
    """Measure servers under load, and say in a report what the figures show."""


lab.add_command(compare)
lab.add_command(url)
lab.add_command(calibrate)
lab.add_command(report_command)
lab.add_command(assert_)


@lab.command(context_settings={"show_default": True})
@click.argument("names", metavar="EXPERIMENT...", nargs=-1, required=True)
@click.option("--quick", is_flag=True, help="Only two values of what varies, and short loads.")
@click.option("--wide", is_flag=True, help="Up to 1,000 clients.")
@click.option("-c", "--clients", type=whole_numbers, help="Concurrent clients, such as 5,10,20.")
@click.option("--wait", type=float, help="Seconds that requests wait where that does not vary.")
@click.option("--waits", type=numbers, help="Seconds that requests wait in io-time: 0.1,0.2.")
@click.option("--services", type=whole_numbers, help="Services that a page asks, such as 2,20.")
@click.option("--repeats", type=int, help="How often each point is measured.")
@click.option("--seconds", type=float, help="How long each load sends.")
@click.option("-n", "--requests", type=int, help="How many requests each load sends at most.")
@click.option("--connection", type=keep_alive, help=CONNECTION)
@click.option("--cross-check", is_flag=True, default=None, help=CROSS_CHECK)
@click.option("--servers", help="Some of the experiment's servers, such as sync,loom.")
@click.option("--postgres", metavar="URL", help="Database of orm; it gets a table for this time.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("out"), help="Where reports go."
)
def run(
    names: tuple[str, ...],
    connection: bool | None,
    servers: str | None,
    postgres: str | None,
    out: Path,
    **options: Any,
) -> None:
    """Run experiments on ready-made servers and write a report of each.

    \b
    concurrency  how each server behaves as clients grow
    io-time      how each server behaves as what it waits for gets slower
    blocking     what one blocking call does to an async server
    fan-out      a page made from many services: awaited one by one, or gathered
    adapters     what it costs async code to call synchronous code
    orm          what a native ORM gives, as the database gets further away
    cpu          when requests compute, and async does not help

    Ctrl-C keeps what is measured, in a report that says that it is incomplete.
    """
    depth = depth_of(keep_alive=connection, **options)
    chosen = [(each := experiment(name), servers_of(each.servers, servers)) for name in names]
    check_place(out)
    signal.signal(signal.SIGTERM, interrupt)  # so that no server is left then either
    for each, its_servers in chosen:
        if each is ORM:
            for outcome in orm_outcomes(depth, its_servers, postgres):
                finish(outcome, out)
            continue
        with shown(each.name, steps(each, depth, its_servers)) as progress:
            outcome = run_experiment(each, depth, its_servers, progress)
        finish(outcome, out)
