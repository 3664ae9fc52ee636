"""The ``loom`` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command that the arguments name; exit with 2 if they cannot be right."""
    try:
        from .commands import loom
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.exit(_report("loom needs click: pip install 'django-loom[server]'"))
    loom(prog_name="loom")


def _report(message: str) -> int:
    print(f"Error: {message}", file=sys.stderr)
    return 2
