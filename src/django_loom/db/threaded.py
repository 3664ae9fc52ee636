"""The mixin that puts any database backend on the loop; see the recipe below."""

from __future__ import annotations

from typing import Any, ClassVar

from django_loom.bridge import current_call

from . import turns
from .cursors import FetchingCursor, FetchingDebugCursor
from .driver_thread import ThreadedConnection
from .engine import Engine
from .wrapper import LoomDatabaseMixin


class ThreadedEngine(Engine):
    """A driver each of whose calls runs in a thread that belongs to its connection."""

    closing_a_cursor_waits = False  # its thread does it when it comes to it

    def is_idle(self, connection: Any, autocommit: bool) -> bool:
        """Tell if the connection is open, and no call of a cancelled caller runs on."""
        return self.is_open(connection) and not getattr(connection, "is_busy", False)

    def transaction_is_usable(self, connection: Any) -> bool:
        """Tell if the transaction can be rolled back: the connection is open."""
        return self.is_open(connection)

    def is_open(self, connection: Any) -> bool:
        """Tell if nobody has closed the connection, and so ended its thread."""
        return not (isinstance(connection, ThreadedConnection) and connection.thread_has_ended)


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

    cursor_class: ClassVar[type] = FetchingCursor
    debug_cursor_class: ClassVar[type] = FetchingDebugCursor
    engine: ClassVar[Engine] = ThreadedEngine()
    connection_class: ClassVar[type[ThreadedConnection]] = ThreadedConnection
    connection: Any

    def get_connection_params(self) -> dict[str, Any]:
        """Return the driver's parameters, without our own option."""
        params: dict[str, Any] = super().get_connection_params()
        params.pop("pool", None)
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect, in a new thread of its own if the connection is for the pool."""
        connect = super().get_new_connection
        if not self.leased and current_call() is None:
            return connect(conn_params)
        name = f"django_loom {self.alias}"
        return self.connection_class.open(lambda: connect(conn_params), name)

    def _cursor(self, name: str | None = None) -> Any:
        # Its making waits for the thread, where another's statement may run → who is cancelled
        # then would end that → it has the turn first, as for a statement.
        if not self.leased:
            return super()._cursor(name)
        self.close_if_health_check_failed()
        self.ensure_connection()
        with turns.turn(self.lease_here(), self):
            return super()._cursor(name)

    def create_cursor(self, name: str | None = None) -> Any:
        """Make a cursor, in the thread."""
        try:
            return super().create_cursor(name)
        except Exception:
            raise
        except BaseException:
            self.interrupted()
            raise
