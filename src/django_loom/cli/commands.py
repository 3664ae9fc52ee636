"""The commands of ``loom``, and their options."""

from __future__ import annotations

import os
import socket
import sys
from importlib import import_module
from typing import Any

import click
from click.core import ParameterSource

from .application import check_application
from .listeners import SocketFile, bind, bind_unix
from .refusal import WrongCall
from .tls import PASSWORD_VARIABLE, tls_options


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def loom() -> None:
    """Serve a Django project on one event loop, and measure it."""


@loom.command(context_settings={"show_default": True})
@click.argument("app")
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option(
    "--port", default=8000, type=click.IntRange(0, 65535), help="Port; 0 for any free one."
)
@click.option("--uds", metavar="PATH", help="Unix socket to listen on, instead of host and port.")
@click.option(
    "--ssl-certfile",
    metavar="PATH",
    help="Serve HTTPS with this certificate and its chain, in PEM format.",
)
@click.option(
    "--ssl-keyfile",
    metavar="PATH",
    help="The certificate's private key, unless it is in the same file; "
    f"{PASSWORD_VARIABLE} in the environment decrypts it.",
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
@click.pass_context
def serve(
    context: click.Context,
    /,
    app: str,
    *,
    reload: bool,
    workers: int,
    uds: str | None,
    **options: Any,
) -> None:
    """Serve APP, an ASGI application written as module:attribute.

    SIGTERM or Ctrl+C stops it: no new requests, running ones finish or are cancelled
    after --grace seconds, then the pools close. The same signal again ends it at once.
    """
    server = _import("django_loom.cli.server", "server")
    if reload and workers > 1:
        raise WrongCall("--reload serves with one process: leave --workers out")
    if uds is not None and (_is_given(context, "host") or _is_given(context, "port")):
        raise WrongCall("--uds listens on a Unix socket only: leave --host and --port out")
    tls = tls_options(options["ssl_certfile"], options["ssl_keyfile"])
    sys.path.insert(0, os.getcwd())
    check_application(app, whole=not reload and workers == 1)
    listener, file, address = _listen(options["host"], options["port"], uds, is_tls=bool(tls))
    config = server.Config(
        app,
        reload=reload,
        workers=workers,
        grace=options["grace"],
        head_timeout=options["head_timeout"],
        timeout_keep_alive=options["keep_alive"],
        backlog=options["backlog"],
        access_log=options["access_log"],
        log_level=options["log_level"],
        **tls,
    )
    if options["log_level"] in ("info", "debug"):
        click.echo(f"Serving {app} on {address}, Ctrl+C stops", err=True)
    sys.exit(server.run(config, listener, file))


@loom.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lab(arguments: tuple[str, ...]) -> None:
    """Load experiments; see loom lab --help."""
    # By its name, as the lab stands alone: nothing else of django_loom imports it.
    group: click.Command = _import("django_loom.lab.cli.main", "lab").lab
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


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is not ParameterSource.DEFAULT


def _listen(
    host: str, port: int, uds: str | None, *, is_tls: bool
) -> tuple[socket.socket, SocketFile | None, str]:
    """Bind a socket.

    :return: it, its file if it is a Unix socket, and the address that clients use.
    :raises WrongCall: the address is not free, or cannot be had.
    """
    where = f"[{host}]" if ":" in host else host
    try:
        if uds is not None:
            return bind_unix(uds), SocketFile(uds), f"unix:{uds}"
        listener = bind(host, port)
    except OSError as error:
        wanted = uds if uds is not None else f"{host}:{port}"
        raise WrongCall(f"cannot listen on {wanted}: {error.strerror or error}") from error
    scheme = "https" if is_tls else "http"
    return listener, None, f"{scheme}://{where}:{listener.getsockname()[1]}"
