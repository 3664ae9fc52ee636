"""The table of an experiment, and what the reader must know of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter

from django_loom.lab.analysis.figures import Figures, PointFigures
from django_loom.lab.analysis.numbers import NOTHING, rounded, with_interval
from django_loom.lab.analysis.statistics import ENOUGH_SAMPLES, FEWEST_SAMPLES, chance
from django_loom.lab.experiments import described
from django_loom.lab.generators.cross_checks import NO_KEEP_ALIVE, NO_KEEP_ALIVE_NOTE
from django_loom.lab.outcomes.outcome import Outcome

HEADINGS = [
    "server",
    "",  # what varies
    "requests/s",
    "expected",
    "ms per request",
    "ms across all",
    "p50",
    "p95",
    "p99",
    "answers",
    "failures",
    "remark",
]
DEFINITIONS = (
    "Requests/s counts 2xx answers, from the first request sent to the last answered. Ms per"
    " request is clients / rate, ms across all is 1 / rate, as ab defines them; p50, p95 and p99"
    " are latencies of single requests, and a queue that builds up counts as it builds. Each figure"
    " is the median of the repeats; in brackets what it lies between with 95 % confidence"
    " (bootstrap; shown from three repeats on). A difference is called shown when these intervals"
    " do not overlap."
)
DOUBTFUL = "generator late"


@dataclass(frozen=True, slots=True)
class Report:
    """What every form of the report says."""

    title: str
    question: str
    expected: str
    varies: str
    conclusions: list[str]
    notes: list[str]
    headings: list[str]
    rows: list[list[str]]
    conditions: list[tuple[str, str]]
    figures: Figures


def report(outcome: Outcome) -> Report:
    """The report of an outcome."""
    of, figures = described(outcome.experiment), Figures(outcome)
    tools = list(dict.fromkeys(each.tool for each in outcome.cross_checks))
    return Report(
        title=", ".join(filter(None, [of.name, outcome.subject, outcome.started])),
        question=of.question,
        expected=of.expected,
        varies=of.varies,
        conclusions=of.conclude(figures),
        notes=list(notes(outcome, figures)),
        headings=[
            HEADINGS[0],
            of.varies,
            *HEADINGS[2:4],
            *(f"{tool}: requests/s" for tool in tools),
            *HEADINGS[4:],
        ],
        rows=[row(outcome, figures, point, tools) for point in figures.all()],
        conditions=[(name, said(value)) for name, value in outcome.conditions.items()],
        figures=figures,
    )


def row(outcome: Outcome, figures: Figures, point: PointFigures, tools: list[str]) -> list[str]:
    return [
        figures.labels[point.server],
        f"{point.x:g}",
        with_interval(point.rate),
        rounded(point.expected),
        *(checked(outcome, tool, point) for tool in tools),
        with_interval(point.time),
        with_interval(point.across),
        *(rounded(point.latency(attrgetter(name))) for name in ("p50", "p95", "p99")),
        f"{point.requests:,}",
        f"{point.failures:,}" if point.failures else NOTHING,
        DOUBTFUL if point.doubtful else "",
    ]


def checked(outcome: Outcome, tool: str, point: PointFigures) -> str:
    """What another generator found at a point, and what to know of it."""
    rate = outcome.checked_rate(tool, point.server, point.x)
    remarks = {
        each.remark: None
        for each in outcome.cross_checks
        if (each.tool, each.server, each.x) == (tool, point.server, point.x) and each.remark
    }
    return f"{rounded(rate)} ({'; '.join(remarks)})" if remarks else rounded(rate)


def notes(outcome: Outcome, figures: Figures) -> Iterator[str]:
    if not outcome.complete:
        yield "This run was interrupted: the report is incomplete."
    yield from outcome.notes
    if any(check.remark == NO_KEEP_ALIVE for check in outcome.cross_checks):
        yield NO_KEEP_ALIVE_NOTE
    if any(point.failures for point in figures.all()):
        yield "Some requests failed; they are in no other figure than that of the failures."
    if any(point.doubtful for point in figures.all()):
        yield (
            f'Where it says "{DOUBTFUL}", the load generator was late itself, or used over half of'
            " what it can do: these latencies are too high."
        )
    yield from few_repeats(figures.all())


def few_repeats(points: Iterable[PointFigures]) -> Iterator[str]:
    """What to know of intervals of points that were measured a few times only."""
    repeats = min((len(point.samples) for point in points), default=ENOUGH_SAMPLES)
    if repeats < FEWEST_SAMPLES:
        yield (
            f"Points with fewer than {FEWEST_SAMPLES} repeats have no intervals: no difference is"
            " shown."
        )
    elif repeats < ENOUGH_SAMPLES:
        yield (
            f"With {repeats} repeats the intervals are rough, and may be too narrow: chance alone"
            f" parts 1 in {chance(repeats)} pairs of equal figures, with {ENOUGH_SAMPLES} repeats"
            f" 1 in {chance(ENOUGH_SAMPLES)}."
        )


def said(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name}: {said(each)}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(said(each) for each in value)
    return {"True": "yes", "False": "no", "None": "none"}.get(str(value), str(value))
