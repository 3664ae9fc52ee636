"""Inside a server: samples where its CPU time goes, from SIGUSR1 until SIGUSR2.

As `benchmarks.profile_worker`: the kernel's timer of CPU time interrupts, a Python handler looks at
the stack. The innermost frame that has a rule gives the layer, so that what a middleware calls in
`django.utils` counts as that middleware's.
"""

from __future__ import annotations

import dis
import json
import signal
from functools import cache
from pathlib import Path
from types import CodeType, FrameType

from benchmarks import profile_worker
from benchmarks.profile_worker import Sampler, short

LOOP = "The event loop, its system calls"
SENDING = "Handler: sending the response"
REQUEST = "Handler: making the request object"
PARSING = "Server: reading and parsing"
UVICORN = "uvicorn/protocols/http/httptools_impl.py"

RULES = [
    ("Server: sending", UVICORN, "send"),
    ("Server: calling the application", UVICORN, "run_asgi receive"),
    (PARSING, UVICORN, ""),
    ("Server: calling the application", "uvicorn/", ""),
    (PARSING, "gunicorn/http/", ""),
    ("Server: sending", "gunicorn/http/wsgi.py", "write sendfile close send_headers"),
    (LOOP, "gunicorn/workers/", "wait accept run run_for_one"),
    ("Server: calling the application", "gunicorn/", ""),
    ("Freeing what the request made", "_weakrefset.py", "_remove"),
    ("asgiref", "asgiref/", ""),
    ("The bridge", "django_loom/bridge/", ""),
    (SENDING, "django_loom/http/responses.py", ""),
    ("Handler: body and its watch", "django_loom/http/body", ""),
    (REQUEST, "django_loom/http/requests.py", ""),
    (REQUEST, "django/core/handlers/asgi.py", ""),
    (REQUEST, "django/core/handlers/wsgi.py", "__init__ get_path_info get_script_name"),
    ("Handler: signals", "django/dispatch/", ""),
    ("Handler: signals", "django/db/__init__.py", ""),
    ("Handler: signals", "django/core/cache/__init__.py", ""),
    ("Handler: resolving the URL", "django/urls/", ""),
    ("Handler", "django_loom/http/", ""),
    ("Handler", "django/core/handlers/", ""),
    ("SecurityMiddleware", "django/middleware/security.py", ""),
    ("SessionMiddleware, sessions", "django/contrib/sessions/", ""),
    ("CommonMiddleware", "django/middleware/common.py", ""),
    ("CsrfViewMiddleware", "django/middleware/csrf.py", ""),
    ("AuthenticationMiddleware, users", "django/contrib/auth/", ""),
    ("MessageMiddleware", "django/contrib/messages/", ""),
    ("XFrameOptionsMiddleware", "django/middleware/clickjacking.py", ""),
    ("MiddlewareMixin", "django/utils/deprecation.py", ""),
    ("View, making its response", "http/site/", ""),
    ("View, making its response", "benchmarks/http/answers.py", ""),
    ("Rendering the template", "django/template/", ""),
    *(rule for rule in profile_worker.RULES if not rule[1].startswith(("asyncio", "benchmarks"))),
    (LOOP, "asyncio/", ""),
    (LOOP, "benchmarks/http/serve.py", ""),
]


@cache
def _first_step(code: CodeType) -> int:
    """The offset of the instruction at which a function that is entered handles signals."""
    return next(i.offset for i in dis.get_instructions(code) if i.opname == "RESUME")


class HttpSampler(Sampler):
    """Counts samples by layer."""

    def sample(self, signum: int, frame: FrameType | None) -> None:
        # Python handles a signal at the next step of Python code: one that came while uvloop
        # waited, read or wrote is seen as the loop enters its next callback.
        if frame is not None and self._enters_from_loop(frame):
            frame = frame.f_back
        super().sample(signum, frame)

    def _enters_from_loop(self, frame: FrameType) -> bool:
        caller = frame.f_back
        if caller is None or "asyncio/" not in short(caller.f_code):
            return False
        return frame.f_lasti <= _first_step(frame.f_code)

    def part(self, code: CodeType) -> str | None:
        if code not in self.rules:
            path, function = short(code), code.co_name
            matching = (
                part
                for part, where, functions in RULES
                if where in path and (not functions or function in functions.split())
            )
            self.rules[code] = next(matching, None)
        return self.rules[code]


def install(output: str) -> None:
    """Let SIGUSR1 start the samples, and SIGUSR2 write them to a file, as JSON."""
    sampler = HttpSampler()

    def start(signum: int, frame: FrameType | None) -> None:
        sampler.start()

    def stop(signum: int, frame: FrameType | None) -> None:
        sampler.stop()
        found = {key: getattr(sampler, key) for key in ("parts", "inclusive", "lines")}
        unfinished = Path(f"{output}.part")
        unfinished.write_text(json.dumps(found))
        unfinished.rename(output)

    signal.signal(signal.SIGUSR1, start)
    signal.signal(signal.SIGUSR2, stop)
