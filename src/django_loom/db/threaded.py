"""The mixin that puts any database backend on the loop; see the recipe below."""

from __future__ import annotations

from typing import Any

from django_loom.bridge import current_call

from .cursors import FetchingCursor, FetchingDebugCursor
from .driver_thread import ThreadedConnection
from .wrapper import LoomDatabaseMixin


class ThreadedDatabaseMixin(LoomDatabaseMixin):
    """Runs each call to a driver in a thread that belongs to its connection.

    For drivers that cannot wait on an event loop. The ORM above stays on the loop,
    so transactions, context and cancellation are as with a native engine; a
    statement costs a switch to the thread and back. The recipe is a package with
    a module ``base``, named in ``ENGINE``::

        # mysite/oracle/base.py      ENGINE = "mysite.oracle"
        from django.db.backends.oracle import base
        from django_loom.db.threaded import ThreadedDatabaseMixin

        class DatabaseWrapper(ThreadedDatabaseMixin, base.DatabaseWrapper):
            pass

    Outside a loop, without ``OPTIONS["pool"]``, the driver is called directly.
    """

    cursor_class = FetchingCursor
    debug_cursor_class = FetchingDebugCursor
    closing_a_cursor_waits = False  # its thread does it when it comes to it
    connection: Any

    def get_connection_params(self) -> dict[str, Any]:
        """Return the driver's parameters, without our own option."""
        params: dict[str, Any] = super().get_connection_params()
        params.pop("pool", None)
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect, in a new thread of its own if the connection is for the pool."""
        connect = super().get_new_connection
        if self.slot is None and current_call() is None:
            return connect(conn_params)
        name = f"django_loom {self.alias}"
        return ThreadedConnection.open(lambda: connect(conn_params), name)

    def create_cursor(self, name: str | None = None) -> Any:
        """Make a cursor, in the thread."""
        try:
            return super().create_cursor(name)
        except Exception:
            raise
        except BaseException:
            self.interrupted()
            raise

    def connection_is_idle(self) -> bool:
        """Tell if no transaction is open, and no call of a cancelled caller runs on."""
        return super().connection_is_idle() and not getattr(self.connection, "is_busy", False)
