"""What does one blocking call do to an async server?"""

from __future__ import annotations

from django_loom.lab.analysis.conclusions import comparison, found, growth
from django_loom.lab.analysis.figures import Figures
from django_loom.lab.experiments.concurrency import UNIT, points
from django_loom.lab.experiments.experiment import Experiment


def conclude(figures: Figures) -> list[str]:
    most = max(figures.values(), default=0)
    return found(
        *(growth(figures, server, UNIT) for server in figures.servers),
        comparison(figures, "aiohttp-blocking", "aiohttp", most, UNIT),
        comparison(figures, "aiohttp-blocking", "sync", most, UNIT),
    )


EXPERIMENT = Experiment(
    name="blocking",
    question="What does one blocking call do to an async server?",
    varies="concurrent clients",
    expected=(
        "While a coroutine sleeps with time.sleep(), the loop can do nothing else: the async server"
        " has one request under way, as a sync worker has, and 1 / wait requests per second, 10 of"
        " 0.1 s, are all it gives."
    ),
    servers=("aiohttp", "aiohttp-blocking", "sync"),
    points=points,
    conclude=conclude,
)
