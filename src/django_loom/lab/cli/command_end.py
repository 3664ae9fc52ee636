"""How a command that measured something ends."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

import click

from django_loom.lab.outcomes.outcome import Outcome
from django_loom.lab.reports.report_files import write_report
from django_loom.lab.reports.tables import report

INTERRUPTED = 130  # exit code: what a shell says of a command that Ctrl-C ended


def finish(outcome: Outcome, out: Path) -> None:
    """Print what the outcome says, write its report, and exit if it was interrupted."""
    if outcome.samples:
        said = report(outcome)
        click.echo(f"\n{said.question}")
        for sentence in (*said.notes, *said.conclusions):
            click.echo(f"- {sentence}")
        click.echo(f"Report: {write_report(outcome, out) / 'report.html'}")
    if not outcome.complete:
        click.echo("Interrupted.", err=True)
        sys.exit(INTERRUPTED)


def interrupt(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does, so that no server is left."""
    raise KeyboardInterrupt
