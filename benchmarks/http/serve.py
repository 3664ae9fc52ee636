"""`python -m benchmarks.http.serve`: one contender's server.

The listening socket is the parent's, so that all have one backlog; nobody writes an access log.
"""

from __future__ import annotations

import gc
import json
import os
import socket
from importlib import import_module
from typing import Any

from benchmarks.connections import django_pool

SPECIFICATION = "BENCH_HTTP_SPECIFICATION"  # the variable that has it; its password is no argument
BACKLOG = 4096
KEEP_ALIVE = 75  # seconds that an idle connection stays open
CONNECTIONS = 12_000  # more than anybody is asked to hold


def django_application(spec: dict[str, Any]) -> Any:
    """Django's WSGI or ASGI application, or ours: `spec["handler"]` names the module."""
    site = {key: spec[key] for key in ("target", "engine", "apps", "views", "loom")}
    site["pool"] = None
    if spec["pool"]:
        site["pool"] = django_pool(spec["pool"], timeout=60)
    os.environ["BENCH_HTTP_SITE"] = json.dumps(site)
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.http.site.settings"
    handler = spec["handler"]
    module = import_module(handler)
    return getattr(module, f"get_{handler.rpartition('.')[2]}_application")()


def application(spec: dict[str, Any]) -> Any:
    if "engine" in spec:
        return django_application(spec)
    return import_module(spec["handler"]).from_spec(spec)


def prepare(spec: dict[str, Any]) -> None:
    """Set the garbage collector, and let the process be profiled, if that was asked for."""
    if spec.get("collector"):
        gc.collect()
        gc.freeze()
        gc.set_threshold(*spec["collector"])
    if "samples" in spec:
        from benchmarks.http import sampler

        sampler.install(spec["samples"])


def uvicorn(spec: dict[str, Any], listener: socket.socket) -> None:
    from uvicorn import Config, Server

    config = Config(
        application(spec),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
    )
    prepare(spec)
    Server(config).run(sockets=[listener])


def aiohttp(spec: dict[str, Any], listener: socket.socket) -> None:
    import uvloop
    from aiohttp import web

    web.run_app(
        application(spec),
        sock=listener,
        access_log=None,
        backlog=BACKLOG,
        keepalive_timeout=KEEP_ALIVE,
        print=None,
        loop=uvloop.new_event_loop(),
    )


def gunicorn(spec: dict[str, Any], listener: socket.socket) -> None:
    from gunicorn.app.base import BaseApplication

    class Application(BaseApplication):
        def load_config(self) -> None:
            options = {
                "bind": f"fd://{listener.fileno()}",
                "worker_class": spec["worker"],
                "workers": 1,
                "threads": spec["threads"],
                "worker_connections": CONNECTIONS,
                "backlog": BACKLOG,
                "keepalive": KEEP_ALIVE,
                "timeout": 300,
                "graceful_timeout": 1,
                "http_parser": "fast",
                "loglevel": "warning",
                "control_socket_disable": True,
            }
            for name, value in options.items():
                self.cfg.set(name, value)
            # Once the worker has set its own signals.
            self.cfg.set("post_worker_init", lambda worker: prepare(spec))

        def load(self) -> Any:
            return application(spec)

    Application().run()


SERVERS = {"uvicorn": uvicorn, "aiohttp": aiohttp, "gunicorn": gunicorn}


def main() -> None:
    spec = json.loads(os.environ.pop(SPECIFICATION))
    SERVERS[spec["server"]](spec, socket.socket(fileno=spec["listener"]))


if __name__ == "__main__":
    main()
