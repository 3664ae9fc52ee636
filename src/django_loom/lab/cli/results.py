"""The commands of `loom lab` that read results of earlier runs."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from django_loom.lab.analysis.assertions import verdicts
from django_loom.lab.analysis.expressions import parse
from django_loom.lab.analysis.figures import Figures
from django_loom.lab.exceptions import UsageError
from django_loom.lab.outcomes.joined_outcome import NOT_THE_SAME, joined
from django_loom.lab.outcomes.outcome import Outcome
from django_loom.lab.outcomes.outcome_file import read_outcome
from django_loom.lab.reports.comparison import compare
from django_loom.lab.reports.comparison_files import NONE_SHOWN, write_comparison
from django_loom.lab.reports.report_files import write_report
from django_loom.lab.reports.tables import report as said_of


@click.command("report", context_settings={"show_default": True})
@click.argument("runs", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--compare", "comparing", is_flag=True, help="Compare two runs: BEFORE AFTER.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("out"), help="Where reports go."
)
def report(runs: tuple[Path, ...], comparing: bool, out: Path) -> None:
    """Join runs of one experiment into one report, as further repeats.

    With --compare, say instead which differences between two runs are real: those whose intervals
    do not overlap. Each DIR is what `loom lab run` wrote, or its results.json.
    """
    outcomes = [read_outcome(run) for run in runs]
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S")
    if comparing:
        if len(outcomes) != 2:
            raise UsageError(f"--compare takes two runs, BEFORE and AFTER, not {len(outcomes)}")
        before, after = outcomes
        show_comparison(before, after, out / f"{before.experiment}-comparison-{now}")
    else:
        show_joined(joined(outcomes), out, now)


@click.command("assert")
@click.argument("results", type=click.Path(path_type=Path))
@click.argument("expressions", metavar="EXPRESSION...", nargs=-1, required=True)
def assert_(results: Path, expressions: tuple[str, ...]) -> None:
    """Exit with 0 if every EXPRESSION holds for the RESULTS of a run, with 1 if one does not.

    \b
    loom lab assert out/concurrency-*/results.json 'loom.rps >= 5 * asgi.rps @ 40'

    An expression compares two sides made of numbers, + - * /, parentheses and figures, written
    server.figure: rps, p50, p95, p99, time_per_request (milliseconds; medians of the repeats) and
    failures (their number). What follows @ is the value of what varies; without it the expression
    is about every value that one of its servers was measured at.
    """
    outcome = read_outcome(results)
    if not outcome.complete:
        raise UsageError(f"{results}: the run was interrupted; only whole runs can be asserted")
    figures = Figures(outcome)
    # Every mistake is found before anything is printed.
    found = [each for text in expressions for each in verdicts(parse(text), figures)]
    for verdict in found:
        click.echo(verdict.line())
    sys.exit(0 if all(verdict.holds for verdict in found) else 1)


def show_joined(outcome: Outcome, out: Path, now: str) -> None:
    said = said_of(outcome)
    written = write_report(outcome, out, f"{outcome.experiment}-joined-{now}")
    if different := outcome.conditions.get(NOT_THE_SAME):
        click.echo(f"The runs differ in their conditions: {', '.join(different)}")
    for sentence in (*said.notes, *said.conclusions):
        click.echo(f"- {sentence}")
    click.echo(f"Report: {written / 'report.html'}")


def show_comparison(before: Outcome, after: Outcome, target: Path) -> None:
    found = compare(before, after)
    written = write_comparison(found, target)
    if found.conditions:
        names = ", ".join(name for name, *_ in found.conditions)
        click.echo(f"The runs differ in their conditions: {names}")
    for sentence in (*found.notes, *(found.sentences or [NONE_SHOWN])):
        click.echo(f"- {sentence}")
    click.echo(f"Report: {written / 'comparison.html'}")
