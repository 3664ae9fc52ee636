"""Compare two runs of an experiment, and tell real differences from those that may be chance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from django_loom.lab.analysis.figures import Figures, PointFigures
from django_loom.lab.analysis.metrics import REPEATED
from django_loom.lab.analysis.numbers import NOTHING, rounded, times
from django_loom.lab.analysis.statistics import Ratio, ratio
from django_loom.lab.experiments import described
from django_loom.lab.outcomes.joined_outcome import check_same_experiment, differing
from django_loom.lab.outcomes.outcome import Outcome
from django_loom.lab.reports.tables import few_repeats, said

# The time per request is clients / rate: it says nothing more than the rate.
COMPARED = {"rps": "requests/s", "p50": "p50 ms", "p95": "p95 ms", "p99": "p99 ms"}


@dataclass(frozen=True, slots=True)
class Change:
    """A figure of one point in both runs, and how many times as large it became.

    `ratio` is None where one of the runs has no such figure.
    """

    metric: str
    before: float | None
    after: float | None
    ratio: Ratio | None

    @property
    def real(self) -> bool:
        """Whether the intervals of the two do not overlap."""
        return self.ratio is not None and self.ratio.shown

    def cell(self) -> str:
        values = f"{rounded(self.before)} → {rounded(self.after)}"
        if self.ratio is None:
            return values
        return f"{values}: {self.ratio.ratio:.3g} times" if self.real else f"{values}, not shown"


@dataclass(frozen=True, slots=True)
class PointChange:
    """The changes of one server at one value of what varies."""

    server: str
    label: str
    x: float
    changes: list[Change]
    failures: tuple[int, int]

    def sentence(self) -> str | None:
        """The real differences; None without any."""
        found = [
            f"{COMPARED[each.metric]} {times(each.ratio)}"
            f" ({rounded(each.before)} → {rounded(each.after)})"
            for each in self.changes
            if each.ratio and each.ratio.shown
        ]
        return f"{self.label}, at {self.x:g}: {'; '.join(found)}." if found else None

    def row(self) -> list[str]:
        before, after = self.failures
        failures = f"{before:,} → {after:,}" if before or after else NOTHING
        return [self.label, f"{self.x:g}", *(each.cell() for each in self.changes), failures]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two runs say of each point that both have."""

    title: str
    points: list[PointChange]
    notes: list[str]
    conditions: list[list[str]]
    varies: str
    figures: tuple[Figures, Figures]

    @property
    def sentences(self) -> list[str]:
        """A sentence for each point with real differences."""
        return [sentence for each in self.points if (sentence := each.sentence())]


def compare(before: Outcome, after: Outcome) -> Comparison:
    """The changes from one run to another; `UsageError` unless they are of one experiment."""
    check_same_experiment([before, after])
    old, new = Figures(before), Figures(after)
    labels = {**before.labels, **after.labels}
    pairs = [
        (point, other)
        for point in old.all()
        if (other := new.at(point.server, point.x)) is not None
    ]
    different = differing([before.conditions, after.conditions])
    return Comparison(
        title=f"{before.experiment}: {before.started} against {after.started}",
        points=[point_change(labels[a.server], a, b) for a, b in pairs],
        notes=list(notes(before, after, pairs)),
        conditions=[
            [name, said(before.conditions.get(name)), said(after.conditions.get(name))]
            for name in different
        ],
        varies=described(before.experiment).varies,
        figures=(old, new),
    )


def point_change(label: str, before: PointFigures, after: PointFigures) -> PointChange:
    changes = [
        change(metric, REPEATED[metric](before), REPEATED[metric](after)) for metric in COMPARED
    ]
    failures = (before.failures, after.failures)
    return PointChange(before.server, label, before.x, changes, failures)


def change(metric: str, before: list[float], after: list[float]) -> Change:
    return Change(
        metric,
        median(before) if before else None,
        median(after) if after else None,
        ratio(after, before) if before and after and min(before) > 0 else None,
    )


def notes(
    before: Outcome, after: Outcome, pairs: list[tuple[PointFigures, PointFigures]]
) -> Iterator[str]:
    for name, outcome in (("before", before), ("after", after)):
        if not outcome.complete:
            yield f"The run {name} was interrupted: it is incomplete."
        if alone := unpaired(outcome, pairs):
            yield f"Only {name}, so not compared: {', '.join(alone)}."
    if any(b.failures > a.failures for a, b in pairs):
        yield "More requests failed after than before; they are in no other figure."
    if any(point.doubtful for pair in pairs for point in pair):
        yield "At some points the load generator was late or near its limit; see the runs' reports."
    yield from few_repeats([point for pair in pairs for point in pair])


def unpaired(outcome: Outcome, pairs: list[tuple[PointFigures, PointFigures]]) -> list[str]:
    both = {(point.server, point.x) for point, _ in pairs}
    return [
        f"{point.server} at {point.x:g}"
        for point in Figures(outcome).all()
        if (point.server, point.x) not in both
    ]
