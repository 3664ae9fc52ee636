"""The commands of `loom lab` that make one load and print what comes back."""

from __future__ import annotations

import sys
from typing import Any

import click

from django_loom.lab.cli.options import CONNECTION, header, keep_alive, with_cookies
from django_loom.lab.exceptions import UsageError
from django_loom.lab.experiments.experiment import MAX_SECONDS, MAX_WAIT
from django_loom.lab.generators.ab import ab_lines
from django_loom.lab.load.calibration import ceiling, lateness
from django_loom.lab.load.measuring import run_load
from django_loom.lab.load.plan import MAX_CLIENTS, LoadPlan, parts
from django_loom.lab.processes.pinning import server_and_generator
from django_loom.lab.reports.text import load_lines


@click.command(context_settings={"show_default": True})
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


@click.command(context_settings={"show_default": True})
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
