"""Under which conditions something was measured."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "django-loom",
    "Django",
    "asgiref",
    "greenlet",
    "psycopg",
    "aiohttp",
    "gunicorn",
    "uvicorn",
    "httptools",
    "uvloop",
    "hdrhistogram",
)


def conditions() -> dict[str, Any]:
    """The versions, the machine and its load now."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: found for name in PACKAGES if (found := installed(name))},
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": [round(each, 2) for each in os.getloadavg()],
    }


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
