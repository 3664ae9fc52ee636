"""What does it cost to make a page from the answers of many services?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice

from django_loom.lab.analysis.conclusions import comparison, found, growth
from django_loom.lab.analysis.figures import Figures
from django_loom.lab.experiments.experiment import MAX_SERVICES, Depth, Experiment, Point
from django_loom.lab.servers.catalogue import kind
from django_loom.lab.servers.server import running

CLIENTS = 4
WAITS = (0.05, 0.2, 0.1, 0.15)  # seconds of the first four services, of the next four, ...
UNIT = "services"


def waits(services: int) -> list[float]:
    return list(islice(cycle(WAITS), services))


def points(depth: Depth, server: str) -> list[Point]:
    of_all = max if server == "home-gathered" else sum
    return [
        Point(server, number, CLIENTS, of_all(waits(number)), number) for number in depth.services
    ]


@contextmanager
def services() -> Iterator[dict[str, str]]:
    """The services, the first of which fails, and where the home pages find them."""
    with running([kind("aiohttp")]) as started:
        url = started["aiohttp"].url
        addresses = [
            f"{url}/{'async' if number else 'failing'}/{round(wait * 1000)}/"
            for number, wait in enumerate(waits(MAX_SERVICES))
        ]
        yield {"LAB_SERVICES": " ".join(addresses)}


def conclude(figures: Figures) -> list[str]:
    most = max(figures.values(), default=0)
    return found(
        *(growth(figures, server, UNIT) for server in figures.servers),
        comparison(figures, "home-one-by-one", "home-sync", most, UNIT),
        comparison(figures, "home-gathered", "home-one-by-one", most, UNIT),
    )


EXPERIMENT = Experiment(
    name="fan-out",
    question="What does it cost to make a page from the answers of many services?",
    varies="services that the page asks",
    expected=(
        "The services take 50 to 200 ms each, and the first one fails. Asked one after another they"
        " take as long as all together: awaiting each in turn lets other clients' pages go on"
        " meanwhile, but no page is faster for it. Gathered they take as long as the slowest, be"
        " they two or twenty, until the processor is busy with asking them."
    ),
    servers=("home-sync", "home-one-by-one", "home-gathered"),
    points=points,
    conclude=conclude,
    beside=services,
)
