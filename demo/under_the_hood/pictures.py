"""Where the bars and lines of the charts are: numbers for the SVG in the templates."""

from __future__ import annotations

from dataclasses import dataclass

from .load import Load, Run
from .records import Note, Record

WIDTH = 1000  # of every chart, in its own units; the page stretches it
HEIGHT = 240  # of a panel


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of a timeline. Times are in milliseconds, ``x`` and ``width`` in chart units."""

    kind: str
    what: str
    x: int
    width: int
    began: float
    milliseconds: float | None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """A load's part of the chart: SVG paths with one line for each request."""

    load: Load
    good: str
    bad: str


def timeline(record: Record) -> list[Bar]:
    """Return the bars of a finished request: itself, then its queries and hops by their begin."""
    whole = record.milliseconds or 0.0
    notes = [("query", each) for each in record.query_notes]
    notes += [("hop", each) for each in record.hop_notes]
    notes.sort(key=lambda each: each[1].began)
    request = Bar("request", "the whole request", 0, WIDTH, 0.0, whole)
    return [request, *(_bar(kind, note, whole) for kind, note in notes)]


def panels(run: Run) -> list[Panel]:
    """Return a panel for each load, all on the time scale of the longest."""
    longest = max(load.seconds for load in run.loads)
    return [Panel(load, *_lines(load, longest)) for load in run.loads]


def _bar(kind: str, note: Note, whole: float) -> Bar:
    ended = whole if note.ended is None else note.ended
    x = _scaled(note.began, whole)
    width = max(3, _scaled(ended, whole) - x)  # what was quick is seen as well
    took = None if note.ended is None else note.ended - note.began
    return Bar(kind, note.what, x, width, note.began, took, note.failed)


def _lines(load: Load, longest: float) -> tuple[str, str]:
    good, bad = [], []
    for number, sent in enumerate(load.sent):
        y = round((number + 0.5) * HEIGHT / len(load.sent), 1)
        x, end = _scaled(sent.began, longest), _scaled(sent.ended, longest)
        (good if sent.good else bad).append(f"M{x} {y}H{max(end, x + 1)}")
    return "".join(good), "".join(bad)


def _scaled(value: float, whole: float) -> int:
    return round(WIDTH * value / whole) if whole else 0
