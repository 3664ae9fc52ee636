"""The commands of ``loom``, and their options."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click


class WrongCall(click.ClickException):
    """What was asked for cannot be done as it was asked; a line says why."""

    exit_code = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def loom() -> None:
    """Serve a Django project on one event loop, and measure it."""


@loom.command(context_settings={"show_default": True})
@click.argument("app")
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option(
    "--port", default=8000, type=click.IntRange(0, 65535), help="Port; 0 for any free one."
)
@click.option("--workers", default=1, type=click.IntRange(1), help="Processes that serve.")
@click.option("--reload", is_flag=True, help="Start again when a source file changes.")
@click.option(
    "--grace",
    default=30.0,
    type=click.FloatRange(0),
    help="Seconds that running requests get to finish when the server stops.",
)
@click.option(
    "--head-timeout",
    default=10.0,
    type=click.FloatRange(0, min_open=True),
    help="Seconds that a client gets to send a request's headers.",
)
@click.option(
    "--keep-alive",
    default=65,
    type=click.IntRange(0),
    help="Seconds that a connection may be idle; more than a proxy in front keeps its own.",
)
@click.option(
    "--backlog",
    default=2048,
    type=click.IntRange(1),
    help="Connections that the system holds back until they are accepted.",
)
@click.option("--access-log", is_flag=True, help="Log each request.")
@click.option(
    "--log-level",
    default="info",
    type=click.Choice(["critical", "error", "warning", "info", "debug"]),
    help="Least level of what the server logs.",
)
def serve(app: str, *, host: str, port: int, reload: bool, workers: int, **options: Any) -> None:
    """Serve APP, an ASGI application written as module:attribute.

    SIGTERM or Ctrl+C stops it: no new requests, running ones finish or are cancelled
    after --grace seconds, then the pools close. The same signal again ends it at once.
    """
    server = _import("django_loom.cli.server", "server")
    if reload and workers > 1:
        raise WrongCall("--reload serves with one process: leave --workers out")
    sys.path.insert(0, os.getcwd())
    _check_application(app, whole=not reload and workers == 1)
    try:
        listener = server.bind(host, port)
    except OSError as error:
        raise WrongCall(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    config = server.Config(
        app,
        host=host,
        port=listener.getsockname()[1],
        reload=reload,
        workers=workers,
        grace=options["grace"],
        head_timeout=options["head_timeout"],
        timeout_keep_alive=options["keep_alive"],
        backlog=options["backlog"],
        access_log=options["access_log"],
        log_level=options["log_level"],
    )
    if options["log_level"] in ("info", "debug"):
        where = f"[{host}]" if ":" in host else host
        click.echo(f"Serving {app} on http://{where}:{config.port}, Ctrl+C stops", err=True)
    sys.exit(server.run(config, listener))


@loom.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lab(arguments: tuple[str, ...]) -> None:
    """Load experiments; see loom lab --help."""
    # By its name, as the lab stands alone: nothing else of django_loom imports it.
    group: click.Command = _import("django_loom.lab.cli", "lab").lab
    group.main(list(arguments), prog_name="loom lab")


def _import(name: str, extra: str) -> Any:
    """Import a module of ours that needs an extra.

    :raises WrongCall: naming the extra, if a package is missing.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise WrongCall(
            f"the package {error.name!r} is missing: pip install 'django-loom[{extra}]'"
        ) from error


def _check_application(app: str, whole: bool) -> None:
    """Find what would only be found in each worker, or after the pools are open.

    :param whole: import it, for this process will serve it.
    :raises WrongCall: there is no such module, or no such attribute in it.
    """
    module_name, _, attributes = app.partition(":")
    if not all(name.isidentifier() for name in [*module_name.split("."), *attributes.split(".")]):
        raise WrongCall(
            f"{app!r} must be written as module:attribute, as in mysite.asgi:application"
        )
    try:
        spec = find_spec(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise
        spec = None
    if spec is None:
        raise WrongCall(
            f"there is no module {module_name!r} in {os.getcwd()}, nor on the Python path"
        )
    if not whole:
        return
    found = import_module(module_name)
    for name in attributes.split("."):
        if not hasattr(found, name):
            raise WrongCall(f"the module {module_name!r} has no {attributes!r}")
        found = getattr(found, name)
