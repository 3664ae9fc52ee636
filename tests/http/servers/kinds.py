"""The servers that the checks run on."""

from __future__ import annotations

import signal

from tests.http.servers.processes import Kind

LOCAL = "127.0.0.1"


def _uvicorn(port: int, application: str) -> list[str]:
    options = ["--http=httptools", "--loop=uvloop", "--log-level=warning"]
    return ["uvicorn", f"--host={LOCAL}", f"--port={port}", *options, application]


def _hypercorn(port: int, application: str) -> list[str]:
    options = ["--workers=1", "--worker-class=uvloop", "--log-level=warning"]
    return ["hypercorn", f"--bind={LOCAL}:{port}", *options, application]


def _daphne(port: int, application: str) -> list[str]:
    return ["daphne", "--bind", LOCAL, "--port", str(port), "--verbosity=0", application]


def _granian(port: int, application: str) -> list[str]:
    options = ["--interface=asgi", "--workers=1", "--loop=uvloop", "--log-level=warning"]
    return ["granian", f"--host={LOCAL}", f"--port={port}", *options, application]


_NO_PATH = "it does not offer http.response.pathsend"

# Daphne's `process()`, which makes the application's scope, is what Twisted calls when
# it has all of the body in a temporary file.
_BODY_FIRST = "it takes the whole body before it starts the application"

KINDS = {
    # uvicorn stops in order, then lets the signal that it got end the process.
    "uvicorn": Kind(
        "uvicorn", _uvicorn, cannot={"send a path": _NO_PATH}, exit_code=-signal.SIGTERM
    ),
    "hypercorn": Kind(
        "hypercorn",
        _hypercorn,
        cannot={
            "hold back 100": "it says 100 Continue before the application reads",
            "send a path": _NO_PATH,
            # 0.18: the end of the response puts http.disconnect into the queue of ten messages,
            # which nobody empties any more.
            "end a refused upload": "its send() waits for ever if ten messages were not received",
        },
    ),
    "daphne": Kind(
        "daphne",
        _daphne,
        cannot={
            "start before the body": _BODY_FIRST,
            "send a path": _NO_PATH,
            "lifespan": "it does not speak the protocol: pools open with their first query",
            # DaphneRequest.handle_reply() writes to Twisted's transport, which has no limit.
            "slow a response down": "its send() returns at once, however slow the client is",
        },
    ),
    "granian": Kind("granian", _granian),
}
