"""An experiment's committed results: its chart, its table, what the data says, the conditions."""

from __future__ import annotations

from pathlib import Path

from django_loom.lab.analysis.figures import PointFigures
from django_loom.lab.analysis.numbers import rounded, with_interval
from django_loom.lab.exceptions import UsageError
from django_loom.lab.outcomes.outcome_file import read_outcome
from django_loom.lab.reports.tables import Report, report

from .markdown import table

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "benchmarks" / "results" / "lab"
HEADER = ["", "requests/s", "expected", "ms per request", "p50", "p99", "failures"]
MISSING = "There are no committed results of this experiment yet: run it, and read your own report."


def experiment(name: str, part: str) -> str:
    """Markdown of one part of an experiment: `charts`, `table`, `conclusions`, `conditions`."""
    try:
        outcome = read_outcome(RESULTS / f"{name}.json")
    except UsageError:  # none, or of another version of the lab; a test says so
        return MISSING
    return PARTS[part](name, report(outcome))


def charts(name: str, said: Report) -> str:
    return "\n\n".join(
        f"![{name}: {title}](/images/lab/{name}-{kind}.svg)"
        for kind, title in (("rate", "requests per second"), ("time", "milliseconds per request"))
    )


def figures_table(name: str, said: Report) -> str:
    rows = [row(said, point) for point in said.figures.all()]
    return table(["server", said.varies, *HEADER[1:]], rows)


def row(said: Report, point: PointFigures) -> list[str]:
    return [
        said.figures.labels[point.server],
        f"{point.x:g}",
        with_interval(point.rate),
        rounded(point.expected),
        with_interval(point.time),
        rounded(point.latency(lambda latency: latency.p50)),
        rounded(point.latency(lambda latency: latency.p99)) + (" (1)" if point.doubtful else ""),
        f"{point.failures:,}",
    ]


def conclusions(name: str, said: Report) -> str:
    return "\n".join(f"- {sentence}" for sentence in (*said.notes, *said.conclusions))


def conditions(name: str, said: Report) -> str:
    return "\n".join(f"- {key}: {value}" for key, value in said.conditions)


PARTS = {
    "charts": charts,
    "table": figures_table,
    "conclusions": conclusions,
    "conditions": conditions,
}
