"""How does each server answer a page of the user's project as clients grow?"""

from __future__ import annotations

from django_loom.lab.analysis.conclusions import comparison, found, growth
from django_loom.lab.analysis.figures import Figures
from django_loom.lab.experiments.concurrency import UNIT
from django_loom.lab.experiments.experiment import Depth, Experiment, Point

UNKNOWN_WAIT = 0.0  # what a page of the user's waits for is not known


def points(depth: Depth, server: str) -> list[Point]:
    return [Point(server, clients, clients, UNKNOWN_WAIT) for clients in depth.clients]


def conclude(figures: Figures) -> list[str]:
    most = max(figures.values(), default=0)
    return found(
        *(growth(figures, server, UNIT) for server in figures.servers),
        *(comparison(figures, "loom", other, most, UNIT) for other in ("wsgi", "threads", "asgi")),
    )


EXPERIMENT = Experiment(
    name="compare",
    question="How does each server answer this page of the project as clients grow?",
    varies="concurrent clients",
    expected=(
        "A page that waits for its database or for other services most of its time gains from every"
        " server that has more than one request under way; one that computes most of its time gains"
        " from none of them, as all have one processor core. A model would have to know how long"
        " the page waits, so none is drawn."
    ),
    servers=("wsgi", "threads", "asgi", "loom"),
    points=points,
    conclude=conclude,
)
