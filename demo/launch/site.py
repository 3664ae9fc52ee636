"""The demo from its first line to its last."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from django_loom.lab import ChildProcess, ServerError

from .ports import HOST, free_port, listener
from .preparation import PreparationFailed, prepare

SERVICES = ["promotions", "recommendations"]
# More than the server's own grace time, and the time it gives to what was cancelled then.
GRACE_SECONDS = 15.0
STARTING_SECONDS = 120.0


def run(preferred_port: int) -> int:
    """Bring the site up and wait until it is stopped.

    :return: the exit code.
    """
    for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, signal.default_int_handler)
    try:
        _say("Loom Academy, the demo of django-loom")
        _say("  Preparing the tables and the seed data ...")
        _say(f"  Database: {prepare()}")
        with ExitStack() as processes:
            _serve(processes, preferred_port)
    except KeyboardInterrupt:
        _say("\nStopped.")
        return 0
    except PreparationFailed as error:
        print(f"The demo cannot be prepared: {error}", file=sys.stderr)
    except ServerError as error:
        print(error, file=sys.stderr)
    return 1


def _serve(processes: ExitStack, preferred_port: int) -> None:
    _say(f"  Starting the services {' and '.join(SERVICES)}, and the server ...")
    addresses = {f"LOOM_DEMO_{name.upper()}": _start_service(processes, name) for name in SERVICES}
    port = free_port(preferred_port)
    server = _started(
        processes,
        "The server",
        *("django_loom.cli", "serve", "demo.project.asgi:application"),
        *("--host", HOST, "--port", str(port), "--grace", "3", "--log-level", "warning"),
        **addresses,
    )
    server.wait_until_listening(port, STARTING_SECONDS)
    if port != preferred_port:
        _say(f"  Port {preferred_port} is taken; this is on another one.")
    _say(f"\n  Open http://{HOST}:{port}/\n")
    _say("  Log in as ann, bob or admin; the password is loom-demo.")
    _say("  Ctrl-C stops the server and the services.")
    raise server.error(f"ended with exit code {server.wait()}")


def _start_service(processes: ExitStack, name: str) -> str:
    with listener() as socket_:
        number = socket_.fileno()
        module = ("demo.services", name, str(number))
        _started(processes, f"The service {name}", *module, inherited=[number])
        return f"http://{HOST}:{socket_.getsockname()[1]}"


def _started(
    processes: ExitStack,
    name: str,
    *module: str,
    inherited: Sequence[int] = (),
    **variables: str,
) -> ChildProcess:
    """Start a Python module, which ends with the others, or with this process."""
    process = ChildProcess(
        [sys.executable, "-m", *module],
        name,
        env=os.environ | variables,
        inherited=inherited,
        grace=GRACE_SECONDS,
        shown=True,
    )
    return processes.enter_context(process)


def _say(line: str) -> None:
    print(line, flush=True)
