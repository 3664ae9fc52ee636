"""How does each server behave as clients grow, when each request waits?"""

from __future__ import annotations

from django_loom.lab.analysis.conclusions import comparison, found, growth
from django_loom.lab.analysis.figures import Figures
from django_loom.lab.experiments.experiment import Depth, Experiment, Point

UNIT = "clients"


def points(depth: Depth, server: str) -> list[Point]:
    return [Point(server, clients, clients, depth.wait) for clients in depth.clients]


def conclude(figures: Figures) -> list[str]:
    most = max(figures.values(), default=0)
    return found(
        *(growth(figures, server, UNIT) for server in figures.servers),
        *(
            comparison(figures, "loom", other, most, UNIT)
            for other in ("sync", "threads", "asgi", "aiohttp")
        ),
    )


EXPERIMENT = Experiment(
    name="concurrency",
    question="How does each server behave as clients grow, when each request waits?",
    varies="concurrent clients",
    expected=(
        "A sync worker has one request under way: 1 / wait requests per second, 10 of 0.1 s,"
        " however many clients there are, and each client waits for all the others. Threads help"
        " until all are taken. An async server has every client's request under way: clients / wait"
        " requests per second, and just the wait for each, until its processor is busy."
    ),
    servers=("aiohttp", "sync", "threads", "asgi", "loom"),
    points=points,
    conclude=conclude,
)
