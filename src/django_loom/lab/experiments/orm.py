"""What does a native ORM give, as clients grow and the database is further away?"""

from __future__ import annotations

from django_loom.lab.analysis.conclusions import comparison, found, growth
from django_loom.lab.analysis.figures import Figures
from django_loom.lab.experiments.concurrency import UNIT
from django_loom.lab.experiments.experiment import Depth, Experiment, Point

LATENCIES = (0.0, 5.0, 50.0)  # milliseconds added to each round trip
QUERIES = 4  # of a page


def points(
    depth: Depth, server: str, latency: float = 0.0, pools: dict[str, int] | None = None
) -> list[Point]:
    """`latency` is in milliseconds; `pools` has the connections of each server that has a pool."""
    wait = QUERIES * latency / 1000
    at_once = (pools or {}).get(server)
    return [Point(server, clients, clients, wait, at_once=at_once) for clients in depth.clients]


def conclude(figures: Figures) -> list[str]:
    most = max(figures.values(), default=0)
    return found(
        *(growth(figures, server, UNIT) for server in figures.servers),
        *(comparison(figures, "loom", other, most, UNIT) for other in ("threads", "asgi")),
    )


EXPERIMENT = Experiment(
    name="orm",
    question="How does a page of four queries behave as clients grow, with this database?",
    varies="concurrent clients",
    expected=(
        "Each query of a page waits for one round trip to the database. Threads wait for as many at"
        " once as there are threads. Django's async ORM has a thread for each request, and goes"
        " there and back for each query; loom awaits on the loop. Both wait for as many queries at"
        " once as their pools have connections, usually 40: from there on more clients only queue,"
        " and the model's line is flat. Before that the processor may be busy. With no latency"
        " added a page is computing mostly, and no model is drawn."
    ),
    servers=("threads", "asgi", "loom"),
    points=points,
    conclude=conclude,
)
