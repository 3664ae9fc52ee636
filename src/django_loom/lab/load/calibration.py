"""What the generator can do, measured against a server that does nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from django_loom.lab.exceptions import GeneratorError
from django_loom.lab.load.plan import LoadPlan
from django_loom.lab.load.process import run_processes
from django_loom.lab.load.results import LoadResult
from django_loom.lab.processes.child import ChildProcess
from django_loom.lab.processes.pinning import cores, server_and_generator

COMMAND = (sys.executable, "-m", "django_loom.lab.servers.null_server")
CLIENTS = 32
SECONDS = 0.5


@cache
def ceiling(keep_alive: bool, core: int | None) -> float:
    """Requests that one generator can make in a second of its processor time.

    Measured once for each kind of load, in about a second; raises `GeneratorError` if that fails.
    """
    other = next((each for each in cores() if each != core), None)
    with null_server(core=None if core is None else other) as url:
        result = run_processes(
            LoadPlan(
                url=url,
                clients=CLIENTS,
                seconds=SECONDS,
                warmup=SECONDS / 2,
                keep_alive=keep_alive,
                core=core,
                timeout=5.0,
            )
        )
    if not result.requests or result.failures:
        raise GeneratorError(f"calibration: {result.statuses} answers, errors {result.errors}")
    return result.requests_per_second * result.seconds / result.cpu_seconds


def lateness(clients: int, wait: float, seconds: float) -> LoadResult:
    """What the generator measures of a server that answers exactly `wait` seconds after a request.

    Whatever its latencies are over `wait` is of this machine and of the generator, and not of a
    server that is measured with it.
    """
    server_core, core = server_and_generator()
    with null_server(wait, server_core) as url:
        plan = LoadPlan(url=url, clients=clients, seconds=seconds, warmup=2 * wait, core=core)
        return run_processes(plan)


@contextmanager
def null_server(wait: float = 0.0, core: int | None = None) -> Iterator[str]:
    """The URL of a server that answers after so many seconds, in a process on that core."""
    command = [*COMMAND, str(wait)]
    with ChildProcess(command, "the null server", core=core) as process:
        yield f"http://127.0.0.1:{process.wait_for_line('port')}/"
