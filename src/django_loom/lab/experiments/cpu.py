"""What do servers gain from async when requests compute instead of waiting?"""

from __future__ import annotations

from django_loom.lab.analysis.conclusions import comparison, found, growth
from django_loom.lab.analysis.figures import Figures
from django_loom.lab.experiments.experiment import Depth, Experiment, Point

COMPUTING = 0.02  # seconds of processor time for each request
UNIT = "clients"


def points(depth: Depth, server: str) -> list[Point]:
    return [Point(server, clients, clients, COMPUTING) for clients in depth.clients]


def conclude(figures: Figures) -> list[str]:
    most = max(figures.values(), default=0)
    return found(
        *(growth(figures, server, UNIT) for server in figures.servers),
        comparison(figures, "cpu-loop", "cpu-processes", most, UNIT),
        comparison(figures, "cpu-pool", "cpu-loop", most, UNIT),
        comparison(figures, "cpu-pool", "cpu-processes", most, UNIT),
    )


EXPERIMENT = Experiment(
    name="cpu",
    question="What does async gain when requests compute for 20 ms instead of waiting?",
    varies="concurrent clients",
    expected=(
        "Nothing: there is no waiting for others to use. A loop computes one request at a time, 50"
        " per second, however many clients there are. Sync processes compute as many at a time as"
        " there are processor cores; an async server can do that too, but only with a pool of"
        " processes behind it. (The load generator shares these cores and takes a little of them.)"
    ),
    servers=("cpu-processes", "cpu-loop", "cpu-pool"),
    points=points,
    conclude=conclude,
    pinned=False,
)
