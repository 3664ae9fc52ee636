"""What a server finds around it: its packages, and the same conditions for every one."""

from __future__ import annotations

import os
from importlib.util import find_spec

from django_loom.lab.exceptions import MissingPackage
from django_loom.lab.servers.catalogue import Kind

# glibc adapts both thresholds to what a process happens to free first, and that alone changes what
# asyncio costs by a quarter or more.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(8 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}


def environment(kind: Kind) -> dict[str, str]:
    """The same conditions for every server."""
    path = os.pathsep.join(filter(None, [*kind.modules, os.environ.get("PYTHONPATH")]))
    ours = {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **MALLOC}
    if kind.page:
        ours["PYTHONDONTWRITEBYTECODE"] = "1"  # nothing is left in the user's directories
    if kind.settings:
        ours["DJANGO_SETTINGS_MODULE"] = kind.settings
    return {**os.environ, **ours, **dict(kind.variables)}


def check_packages(kind: Kind) -> None:
    """Raise `MissingPackage` if a package that a server needs is not installed."""
    for name in kind.packages:
        if find_spec(name) is None:
            raise MissingPackage.of_extra(kind.label, name)
