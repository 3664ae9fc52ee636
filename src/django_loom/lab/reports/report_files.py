"""Write an outcome's files into a directory of its own, all of them or none."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matplotlib import pyplot
from matplotlib.figure import Figure

from django_loom.lab.exceptions import UsageError
from django_loom.lab.outcomes.outcome import Outcome
from django_loom.lab.reports.charts import drawn, rate_chart, time_chart
from django_loom.lab.reports.html import page
from django_loom.lab.reports.tables import DEFINITIONS, Report, report

CHARTS = {"time": time_chart, "rate": rate_chart}


def write_report(outcome: Outcome, directory: Path, name: str | None = None) -> Path:
    """Write the files to a directory in this one, whose path is returned.

    Without a name it is `<experiment>-<time>`, with the subject between if there is one.
    Raises `UsageError` if that cannot be written, or is there already.
    """
    target = directory / (name or default_name(outcome))
    with new_directory(target) as unfinished:
        write_files(outcome, unfinished)
    return target


def check_place(directory: Path) -> None:
    """Raise `UsageError` if reports can surely not be written there; better before a run."""
    there = next(each for each in (directory, *directory.absolute().parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write reports to {directory}: {there} cannot be written to")


def default_name(outcome: Outcome) -> str:
    subject = re.sub(r"[^\w.-]+", "-", outcome.subject).strip("-.")
    time = outcome.started.replace(":", "")[:17]
    return "-".join(filter(None, [outcome.experiment, subject, time]))


@contextmanager
def new_directory(target: Path) -> Iterator[Path]:
    """A directory to write files to, which is moved to `target` when the block ends well.

    Raises `UsageError` if that cannot be written, or is there already; nothing is left then.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=target.parent))
        try:
            yield unfinished
            unfinished.chmod(0o755)
            unfinished.rename(target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror}") from error


def write_files(outcome: Outcome, directory: Path) -> None:
    said = report(outcome)
    svg = {
        name: write_chart(draw(said.figures, said.varies), name, directory)
        for name, draw in CHARTS.items()
    }
    directory.joinpath("results.json").write_text(outcome.to_json())
    directory.joinpath("results.csv").write_text(outcome.to_csv())
    directory.joinpath("report.md").write_text(markdown(said))
    directory.joinpath("report.html").write_text(page(said, svg))


def write_chart(chart: Figure, name: str, directory: Path) -> str:
    """Write a chart as SVG and as PNG, and close it; returns the SVG."""
    svg = drawn(chart, "svg")
    directory.joinpath(f"{name}.svg").write_bytes(svg)
    directory.joinpath(f"{name}.png").write_bytes(drawn(chart, "png"))
    pyplot.close(chart)
    return svg.decode()


def markdown(said: Report) -> str:
    """The report as Markdown, with the charts as files beside it."""
    table = [said.headings, ["---"] * len(said.headings), *said.rows]
    return "\n".join(
        [
            f"# {said.title}",
            "",
            said.question,
            "",
            *(f"**{note}**\n" for note in said.notes),
            f"Expected: {said.expected}",
            "",
            "## What the data says",
            "",
            *(f"- {sentence}" for sentence in said.conclusions or ["Nothing yet."]),
            "",
            *(f"![{name}]({name}.svg)\n" for name in CHARTS),
            *(f"| {' | '.join(cells)} |" for cells in table),
            "",
            DEFINITIONS,
            "",
            "## Conditions",
            "",
            *(f"- {name}: {value}" for name, value in said.conditions),
            "",
        ]
    )
