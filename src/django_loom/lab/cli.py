"""The commands of `loom lab`, and their options."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import click

from .ab import ab_lines
from .calibration import ceiling, lateness
from .cli_compare import compare
from .cli_results import assert_
from .cli_results import report as report_command
from .exceptions import LabError, UsageError
from .experiment import MAX_SECONDS, MAX_WAIT
from .experiments import experiment
from .experiments.orm import EXPERIMENT as ORM
from .finishing import finish, interrupt
from .measuring import run_load
from .options import (
    CONNECTION,
    CROSS_CHECK,
    depth_of,
    header,
    keep_alive,
    numbers,
    servers_of,
    whole_numbers,
    with_cookies,
)
from .orm_runs import orm_outcomes
from .pinning import server_and_generator
from .plan import MAX_CLIENTS, LoadPlan, parts
from .progress import shown
from .reports import check_place
from .runner import run as run_experiment
from .runner import steps
from .text import load_lines


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


@lab.command(context_settings={"show_default": True})
@click.argument("url")
@click.option("-c", "--clients", type=int, default=1, help="Concurrent clients.")
@click.option("-n", "--requests", type=int, help="Requests to send.  [default: 100]")
@click.option("-t", "--seconds", type=float, help="How long to send.")
@click.option("--rate", type=float, help="Requests per second, due at even intervals.")
@click.option("--processes", type=int, default=1, help="Processes that send, for many clients.")
@click.option("--warmup", type=float, default=0.0, help="Seconds of load that are not measured.")
@click.option("--timeout", type=float, default=30.0, help="Seconds that an answer may take.")
@click.option("--connection", type=keep_alive, help=CONNECTION)
@click.option("-H", "--header", "headers", type=header, multiple=True, help="'Name: value'.")
@click.option("-C", "--cookie", "cookies", multiple=True, help="'name=value'.")
@click.option("--format", "form", type=click.Choice(["text", "ab", "json"]), default="text")
@click.option("--i-own-this-host", "own", metavar="HOST", help="Load a host that is not this one.")
def url(
    url: str,
    connection: bool | None,
    headers: tuple[tuple[str, str], ...],
    cookies: tuple[str, ...],
    form: str,
    own: str | None,
    **options: Any,
) -> None:
    """Put a load on URL and print what comes back.

    Without --seconds and --requests it sends 100 requests.
    """
    if own is not None and own != parts(url).hostname:
        raise UsageError(f"--i-own-this-host {own}: but the URL's host is {parts(url).hostname}")
    if options["requests"] is options["seconds"] is None:
        options["requests"] = 100
    fields = with_cookies(headers, cookies)
    plan = LoadPlan(
        url=url,
        headers=fields,
        keep_alive=connection is not False,
        any_host=bool(own),
        **options,
    )
    result = run_load(plan)
    if form == "json":
        click.echo(result.to_json())
    else:
        click.echo("\n".join((ab_lines if form == "ab" else load_lines)(plan, result)))
    sys.exit(1 if result.failures else 0)


@lab.command(context_settings={"show_default": True})
@click.option("-c", "--clients", type=click.IntRange(1, MAX_CLIENTS), default=400)
@click.option("--wait", type=click.FloatRange(0.001, MAX_WAIT), default=0.1, help="Seconds.")
@click.option("--seconds", type=click.FloatRange(0.1, MAX_SECONDS), default=3.0)
def calibrate(clients: int, wait: float, seconds: float) -> None:
    """Show how exact the load generator is on this machine.

    It measures a server that does nothing but answer --wait seconds after each request: what the
    latencies are over that is no server's doing.
    """
    most = ceiling(True, server_and_generator()[1])
    click.echo(f"ceiling    {most:,.0f} requests per second of the generator's processor time")
    found = lateness(clients, wait, seconds)
    click.echo(f"server     waits exactly {1000 * wait:g} ms; {clients} clients, keep-alive")
    click.echo(f"requests/s {found.requests_per_second:,.1f} of {clients / wait:,.1f}")
    if found.latency:
        of = found.latency
        click.echo(f"latency    p50 {of.p50:.1f}, p95 {of.p95:.1f}, p99 {of.p99:.1f} ms")
    click.echo(f"own loop   {found.loop_lag_ms:.1f} ms late (p99)")


lab.add_command(compare)
