"""The user's own project: what its settings say, and how each server runs it."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from django_loom.lab.exceptions import UsageError
from django_loom.lab.processes.child import LINES_SHOWN
from django_loom.lab.servers.catalogue import SERVED, THREADS, Kind, asgi, gunicorn
from django_loom.lab.servers.project_modules import ENGINES, write_modules

DESCRIBING_SECONDS = 60.0
OURS = "django_loom.db."


@dataclass(frozen=True, slots=True)
class Project:
    """A Django project: its settings module, its directory, and what the settings say."""

    settings: str
    directory: Path
    engines: dict[str, str]
    debug: bool

    def check_engines(self) -> None:
        """Raise `UsageError` if a database has an engine that loom has no counterpart of."""
        for alias, engine in self.engines.items():
            if engine and engine not in ENGINES and not engine.startswith(OURS):
                raise UsageError(
                    f"loom has no engine for {engine!r}, which DATABASES[{alias!r}] has; it has"
                    f" those for {', '.join(ENGINES)}. Leave it out: --servers wsgi,threads,asgi"
                )

    def kinds(
        self, servers: tuple[str, ...], modules: Path, headers: tuple[tuple[str, str], ...]
    ) -> list[Kind]:
        """The project under each of these servers, with its modules in the directory `modules`.

        Raises `UsageError` if loom is among them and has no engine for a database.
        """
        if "loom" in servers:
            self.check_engines()
        write_modules(modules, self.settings)
        config = ("--config", str(modules / "lab_gunicorn.py"))  # not one of the project's
        wsgi = "lab_wsgi:application"
        threads = ("--threads", str(THREADS))
        known = {
            "wsgi": ("gunicorn sync", gunicorn(*config, application=wsgi), 1),
            "threads": (
                f"gunicorn {THREADS} threads",
                gunicorn(*config, *threads, application=wsgi),
                THREADS,
            ),
            "asgi": ("ASGI", asgi("lab_asgi:application"), math.inf),
            "loom": ("loom", asgi("lab_loom_asgi:application"), math.inf),
        }
        return [
            Kind(
                name,
                label,
                arguments,
                view="",
                at_once=at_once,
                settings="lab_loom_settings" if name == "loom" else self.settings,
                headers=headers,
                directory=str(self.directory),
                modules=(str(self.directory), str(modules)),
            )
            for name, (label, arguments, at_once) in known.items()
            if name in servers
        ]


def described(settings: str, directory: Path) -> Project:
    """The project with that settings module, importable from that directory.

    Raises `UsageError`, with the last lines of the output, if Django cannot be set up with it.
    """
    # A process of its own, as everything that knows Django is.
    try:
        described = subprocess.run(
            [sys.executable, str(SERVED / "describe_project.py")],
            cwd=directory,
            env=environment(settings, directory),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=DESCRIBING_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"{settings}: django.setup() did not end within {DESCRIBING_SECONDS:.0f} s"
        ) from None
    lines = described.stdout.rstrip().splitlines()
    if described.returncode:
        said = "\n".join(lines[-LINES_SHOWN:])
        raise UsageError(
            f"cannot set up Django with the settings {settings!r} from {directory}; its last lines:"
            f"\n{said}"
        )
    return Project(settings, directory, **json.loads(lines[-1]))


def environment(settings: str, directory: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(directory), os.environ.get("PYTHONPATH")]))
    ours = {"PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": settings, "PYTHONDONTWRITEBYTECODE": "1"}
    return {**os.environ, **ours}
