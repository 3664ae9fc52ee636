"""The bars of the HTTP benchmark, and what the data says about each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.http.figures import Figures, Sample
from benchmarks.http.peers import FASTAPI, LOOM, POOL_ALLOWS, STOCK, WSGI


@dataclass
class Goal:
    """A bar, what was measured against it, and if it is met.

    An aim is a bar beyond the least. "Stock ASGI" is the same views under Django's own handler;
    a stricter reading takes synchronous views there, for which it is faster in some routes.
    """

    text: str
    kind: str
    required: str
    measured: float
    met: bool
    by_mean: float | None = None  # by the mean of all windows, not the fastest of each repeat


LEAST, STRICTER, AIM = "least", "stricter", "aim"
KINDS = (LEAST, STRICTER, AIM)

# What is served, by which of these peers beside the fastest of those, and how many times as fast.
BARS = [
    (LEAST, "hello", "stock ASGI", STOCK[:1], 7.0),
    (LEAST, "orm", "stock ASGI", STOCK[:1], 4.0),
    (LEAST, "orm", "the best WSGI", WSGI, 1.0),
    (LEAST, "session", "stock ASGI", STOCK[:1], 3.0),
    (LEAST, "session", "the best WSGI", WSGI, 1.0),
    (STRICTER, "hello", "stock ASGI with sync views", STOCK[1:], 7.0),
    (STRICTER, "orm", "stock ASGI with sync views", STOCK[1:], 4.0),
    (STRICTER, "session", "stock ASGI with sync views", STOCK[1:], 3.0),
    (AIM, "orm", "the best WSGI", WSGI, 1.2),
    (AIM, "orm", "FastAPI with SQLAlchemy", (FASTAPI,), 1.0),
    (AIM, "hello", "FastAPI", (FASTAPI,), 0.5),
]
WAIT_SHARE = 0.9
KIB = ((LEAST, 40.0), (AIM, 25.0))


def goals(found: Sequence[Sample], memory: Sequence[Sample]) -> list[Goal]:
    """The bars that the project has set itself, as far as the data has them: the least first."""
    figures = Figures(found)
    checked = [_against(figures, *bar) for bar in BARS]
    rate = figures.rate("wait", LOOM)
    share = rate / POOL_ALLOWS if rate is not None else None
    text = "wait: share of the 1,000/s that the pool allows"
    checked.append(_goal(text, LEAST, share, WAIT_SHARE))
    kept = next((row["waiting_kib"] for row in memory if row["peer"] == LOOM), None)
    text = "sleep: KiB per waiting request, with its connection"
    checked += [_goal(text, kind, kept, bar, at_most=True) for kind, bar in KIB]
    return sorted(filter(None, checked), key=lambda goal: KINDS.index(goal.kind))


def _against(
    figures: Figures, kind: str, route: str, name: str, peers: Sequence[str], least: float
) -> Goal | None:
    best = figures.best(route, peers)
    if best is None:
        return None
    shown = name if len(peers) == 1 else f"{name} ({best})"
    goal = _goal(f"{route}: {LOOM} / {shown}", kind, figures.ratio(route, LOOM, best), least)
    by_mean = figures.ratio(route, LOOM, best, "mean")
    if goal is not None and by_mean is not None:
        goal.by_mean = round(by_mean, 3)
    return goal


def _goal(
    text: str, kind: str, measured: float | None, bar: float, *, at_most: bool = False
) -> Goal | None:
    if measured is None:
        return None
    met = measured <= bar if at_most else measured >= bar
    return Goal(text, kind, f"{'≤' if at_most else '≥'} {bar:g}", round(measured, 3), met)
