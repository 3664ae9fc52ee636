"""How does each server behave as what it waits for gets slower, with 10 clients?"""

from __future__ import annotations

from django_loom.lab.analysis.conclusions import comparison, found, growth
from django_loom.lab.analysis.figures import Figures
from django_loom.lab.experiments.experiment import Depth, Experiment, Point

CLIENTS = 10
UNIT = "s of waiting"


def points(depth: Depth, server: str) -> list[Point]:
    return [Point(server, wait, CLIENTS, wait) for wait in depth.waits]


def conclude(figures: Figures) -> list[str]:
    longest = max(figures.values(), default=0)
    return found(
        *(growth(figures, server, UNIT) for server in figures.servers),
        *(comparison(figures, "loom", other, longest, UNIT) for other in ("sync", "aiohttp")),
    )


EXPERIMENT = Experiment(
    name="io-time",
    question="How does each server behave as what it waits for gets slower, with 10 clients?",
    varies="seconds that each request waits",
    expected=(
        "Twice the wait is half the requests per second, for every server. But a sync worker makes"
        " each of 10 clients wait ten times that long, while an async server makes them wait that"
        " long only."
    ),
    servers=("aiohttp", "sync", "threads", "asgi", "loom"),
    points=points,
    conclude=conclude,
)
