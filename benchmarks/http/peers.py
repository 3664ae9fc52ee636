"""What is asked of the servers, and who takes part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Route:
    """One path of the benchmark, and the load on it."""

    about: str
    clients: int = 32
    connections: int = 32  # of the pool; a peer without one has a connection per thread
    longer: float = 1.0  # times the usual seconds

    @property
    def is_waiting(self) -> bool:
        """Whether the database's sleep, not the server's core, is what takes long."""
        return self.connections > 32


ROUTES = {
    "hello": Route("a line of text"),
    "orm": Route("one row by its key, as JSON"),
    "list": Route("20 rows with select_related, as JSON"),
    # 32 requests that take turns, query by query, would all end in the same moments, few of which
    # fall into a window.
    "template": Route(
        "a template of 50 rows that follows a lazy relation in each: 51 queries, 8 clients",
        clients=8,
        longer=2,
    ),
    "session": Route("database session, user, and the one row: 3 queries"),
    "wait": Route(
        "a query of 100 ms, 1,000 clients, a pool of 100: 1,000/s are possible",
        clients=1000,
        connections=100,
        longer=2,
    ),
    "gather": Route("ten queries of 20 ms, gathered, a pool of 100", connections=100, longer=1.5),
}
SLEEPERS = 10_000
POOL_ALLOWS = 1000.0  # answers per second of `wait`: 100 connections, 100 ms each

NO_FRAMEWORK = "no sessions and users of its own"
THREAD_EACH = "a thread for each request that waits"


@dataclass(frozen=True)
class Peer:
    """One way to serve. `missing` says which routes it has not, and why."""

    about: str
    server: str
    handler: str
    django: Mapping[str, Any] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    worker: str | None = None  # gunicorn's class
    threads_of: str | None = None  # the peer whose best number of threads it takes
    collects_as_loom: bool = False  # Python's garbage collector is set as django-loom sets it
    # Where it answers one request at a time, whatever the clients: few, or most would time out.
    fewer_clients: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_wsgi(self) -> bool:
        return self.server == "gunicorn"

    @property
    def counts_threads(self) -> bool:
        """Whether its best number of threads has to be looked for."""
        return self.worker == "gthread"


def _site(views: str, engine: str = "django.db.backends.postgresql", *apps: str) -> dict[str, Any]:
    return {
        "views": f"benchmarks.http.site.{views}",
        "engine": engine,
        "apps": list(apps),
        "loom": {},
    }


def _loom(views: str, **setting: Any) -> dict[str, Any]:
    return {**_site(views, "django_loom.db.postgresql", "django_loom"), "loom": setting}


LOOM, FASTAPI = "loom", "fastapi"
PEERS = {
    LOOM: Peer(
        "django-loom on uvicorn, async views",
        "uvicorn",
        "django_loom.asgi",
        _loom("loom_views"),
    ),
    "loom-python-gc": Peer(
        'django-loom on uvicorn, async views, LOOM["GC_THRESHOLD"] = None',
        "uvicorn",
        "django_loom.asgi",
        _loom("loom_views", GC_THRESHOLD=None),
    ),
    "loom-sync-views": Peer(
        'django-loom on uvicorn, sync views, LOOM["SYNC_VIEWS"] = "loop"',
        "uvicorn",
        "django_loom.asgi",
        _loom("sync_views", SYNC_VIEWS="loop"),
        {"sleep": "time.sleep() would block the loop"},
    ),
    "loom-threads": Peer(
        'django-loom on uvicorn, sync views, LOOM["SYNC_VIEWS"] = "thread"; '
        "10 threads, 100 where queries take 20 ms or more",
        "uvicorn",
        "django_loom.asgi",
        _loom("sync_views", SYNC_VIEWS="thread"),
        {"sleep": THREAD_EACH},
    ),
    "stock": Peer(
        'Django on uvicorn, OPTIONS["pool"], async views with a* methods; '
        "the template in sync_to_async",
        "uvicorn",
        "django.core.asgi",
        _site("async_views"),
    ),
    "stock-sync-views": Peer(
        'Django on uvicorn, OPTIONS["pool"], sync views',
        "uvicorn",
        "django.core.asgi",
        _site("sync_views"),
        {"sleep": THREAD_EACH},
    ),
    "gunicorn-sync": Peer(
        "Django on gunicorn, its sync worker (no keep-alive), a persistent connection; "
        "4 clients on wait and gather, since it answers one at a time",
        "gunicorn",
        "django.core.wsgi",
        _site("sync_views"),
        {"sleep": "one request at a time"},
        worker="sync",
        fewer_clients={"wait": 4, "gather": 4},
    ),
    "gunicorn-threads": Peer(
        "Django on gunicorn, threads in their best number, a persistent connection for each",
        "gunicorn",
        "django.core.wsgi",
        _site("sync_views"),
        {"sleep": THREAD_EACH},
        worker="gthread",
    ),
    "gunicorn-threads-gc": Peer(
        "gunicorn-threads, with Python's garbage collector set as django-loom sets it",
        "gunicorn",
        "django.core.wsgi",
        _site("sync_views"),
        {"sleep": THREAD_EACH},
        worker="gthread",
        threads_of="gunicorn-threads",
        collects_as_loom=True,
    ),
    "django-async-backend": Peer(
        "django-async-backend under Django's ASGI handler on uvicorn; session, user and the "
        "template's lazy relation by Django's own code",
        "uvicorn",
        "django.core.asgi",
        _site(
            "async_backend_views",
            "django_async_backend.db.backends.postgresql",
            "django_async_backend",
        ),
    ),
    FASTAPI: Peer(
        "FastAPI on uvicorn, SQLAlchemy's asyncio ORM on asyncpg, reads in autocommit; Jinja2",
        "uvicorn",
        "benchmarks.http.fastapi_app",
        missing={"session": NO_FRAMEWORK},
    ),
    "aiohttp": Peer(
        "aiohttp, SQL by hand on asyncpg: the floor",
        "aiohttp",
        "benchmarks.http.aiohttp_app",
        missing={"session": NO_FRAMEWORK, "template": "no lazy relation without an ORM"},
    ),
}
STOCK = ("stock", "stock-sync-views")  # the same views as ours; views that suit it better
WSGI = tuple(name for name, peer in PEERS.items() if peer.is_wsgi)


def specification(
    peer: Peer, connections: int, threads: int | None, target: Mapping[str, Any]
) -> dict[str, Any]:
    """What the server's process is told."""
    spec = {
        "server": peer.server,
        "handler": peer.handler,
        "target": dict(target),
        # Under WSGI a thread keeps its connection.
        "pool": None if peer.is_wsgi else connections,
        "collector": _threshold() if peer.collects_as_loom else None,
        **peer.django,
    }
    if peer.is_wsgi:
        spec |= {"worker": peer.worker, "threads": threads if peer.counts_threads else 1}
    elif threads and spec.get("loom", {}).get("SYNC_VIEWS") == "thread":
        spec["loom"] = {**spec["loom"], "THREADS": threads}
    return spec


def _threshold() -> object:
    """Ours, where a peer is to have the same."""
    # Not above: instructions are counted of older revisions, too, which have it elsewhere.
    from django_loom.http.conf import HttpSettings

    return HttpSettings().GC_THRESHOLD
