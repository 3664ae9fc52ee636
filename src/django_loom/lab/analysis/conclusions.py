"""Sentences that the figures bear out; where they don't, that is what the sentence says."""

from __future__ import annotations

from statistics import median

from django_loom.lab.analysis.figures import Figures, PointFigures
from django_loom.lab.analysis.numbers import rounded, times
from django_loom.lab.analysis.statistics import Ratio, ratio

NOT_SHOWN = "not shown by this data"


def growth(figures: Figures, server: str, unit: str) -> str | None:
    """What becomes of a server from the lowest value of what varies to the highest."""
    points = [point for point in figures.of(server) if point.rates]
    if len(points) < 2:
        return None
    first, last = points[0], points[-1]
    rate = change(ratio(last.rates, first.rates), first.rates, last.rates, "/s")
    time = change(ratio(last.times, first.times), first.times, last.times, " ms")
    span = f"from {first.x:g} to {last.x:g} {unit}"
    return f"{figures.labels[server]}, {span}: requests per second{rate}; time per request{time}."


def comparison(figures: Figures, server: str, other: str, x: float, unit: str) -> str | None:
    """How many times the requests per second of another server one gives at a value."""
    ours, theirs = figures.at(server, x), figures.at(other, x)
    if ours is None or theirs is None or not ours.rates or not theirs.rates:
        return None
    found = ratio(ours.rates, theirs.rates)
    names = f"{figures.labels[server]} against {figures.labels[other]}"
    rates = f"{middle(ours)}/s against {middle(theirs)}/s"
    verdict = (
        f"{times(found)} the requests per second ({rates})"
        if found.shown
        else f"a difference in requests per second is {NOT_SHOWN} ({rates})"
    )
    return f"{names}, at {x:g} {unit}: {verdict}."


def change(found: Ratio, before: list[float], after: list[float], unit: str) -> str:
    values = f"{rounded(median(before))} → {rounded(median(after))}{unit}"
    return f" {times(found)} ({values})" if found.shown else f": a change is {NOT_SHOWN} ({values})"


def middle(point: PointFigures) -> str:
    return rounded(point.rate.median) if point.rate else "0"


def found(*sentences: str | None) -> list[str]:
    """The sentences that there is data for."""
    return [sentence for sentence in sentences if sentence]
