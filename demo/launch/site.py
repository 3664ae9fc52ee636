"""The demo from its first line to its last."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time

from .ports import HOST, free_port, listener
from .preparation import PreparationFailed, prepare
from .processes import Processes

SERVICES = ["promotions", "recommendations"]
PAUSE = 0.05


class ServerEnded(Exception):
    """The server ended though nobody asked it to; it has said why."""


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
        with Processes() as processes:
            _serve(processes, preferred_port)
    except KeyboardInterrupt:
        _say("\nStopped.")
        return 0
    except PreparationFailed as error:
        print(f"The demo cannot be prepared: {error}", file=sys.stderr)
    except ServerEnded as error:
        print(error, file=sys.stderr)
    return 1


def _serve(processes: Processes, preferred_port: int) -> None:
    _say(f"  Starting the services {' and '.join(SERVICES)}, and the server ...")
    addresses = {f"LOOM_DEMO_{name.upper()}": _start_service(processes, name) for name in SERVICES}
    port = free_port(preferred_port)
    server = processes.start(
        *("django_loom.cli", "serve", "demo.project.asgi:application"),
        *("--host", HOST, "--port", str(port), "--grace", "3", "--log-level", "warning"),
        **addresses,
    )
    _wait_until_ready(server, port)
    if port != preferred_port:
        _say(f"  Port {preferred_port} is taken; this is on another one.")
    _say(f"\n  Open http://{HOST}:{port}/\n")
    _say("  Log in as ann, bob or admin; the password is loom-demo.")
    _say("  Ctrl-C stops the server and the services.")
    server.wait()
    raise ServerEnded(f"The server has ended with exit code {server.returncode}.")


def _start_service(processes: Processes, name: str) -> str:
    with listener() as socket_:
        number = socket_.fileno()
        processes.start("demo.services", name, str(number), inherited=(number,))
        return f"http://{HOST}:{socket_.getsockname()[1]}"


def _wait_until_ready(server: subprocess.Popen[bytes], port: int) -> None:
    while server.poll() is None:
        with socket.socket() as client:
            if client.connect_ex((HOST, port)) == 0:
                return
        time.sleep(PAUSE)
    raise ServerEnded(f"The server did not start; its exit code is {server.returncode}.")


def _say(line: str) -> None:
    print(line, flush=True)
