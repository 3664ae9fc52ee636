"""The ways in which the suite is run, and the engines it is run on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mode:
    """One way of running the suite."""

    letter: str
    title: str
    ours: bool
    on_loop: bool
    sync_views: str | None = None  # LOOM["SYNC_VIEWS"] where our handler serves the requests


MODES = {
    mode.letter: mode
    for mode in (
        Mode("a", "stock engine", ours=False, on_loop=False),
        Mode("b", "our engine, plain sync", ours=True, on_loop=False),
        Mode("c", "our engine, on one event loop", ours=True, on_loop=True),
        Mode("d", "our handler, views on the loop", ours=True, on_loop=False, sync_views="loop"),
        Mode("e", "our handler, views in threads", ours=True, on_loop=False, sync_views="thread"),
    )
}

STOCK_ENGINES = {
    "postgresql": "django.db.backends.postgresql",
    "sqlite": "django.db.backends.sqlite3",
}
OUR_ENGINES = {"postgresql": "django_loom.db.postgresql", "sqlite": "django_loom.db.sqlite3"}


def engine(database: str, mode: Mode) -> str:
    """The ENGINE setting of ``database`` ("postgresql" or "sqlite") in ``mode``."""
    return (OUR_ENGINES if mode.ours else STOCK_ENGINES)[database]
