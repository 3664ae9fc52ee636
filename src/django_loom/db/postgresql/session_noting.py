"""psycopg's connection, noting what changes its session for those that follow."""

from __future__ import annotations

import sys
from typing import Any

import psycopg

from .adapters import NotingAdapters
from .session import watching

# What a reset restores, beside the handlers.
_RESTORED = (
    "row_factory",
    "cursor_factory",
    "server_cursor_factory",
    "prepare_threshold",
    "prepared_max",
    "isolation_level",
    "read_only",
    "deferrable",
    "_adapters",
)
# How Django names cursors of chunked_cursor(), each of which keeps its connection itself.
_CHUNKED = "_django_curs_"


class SessionNotingConnection(psycopg.Connection[Any]):
    """Knows if its session, the server's part or the driver's, is still as it was opened.

    Statements note what they change before they are sent, see ``session.watching()``;
    what code sets on this object is noted as it is set.
    """

    _begun_with: tuple[Any, Any, Any] | None = None
    _as_opened: tuple[dict[str, Any], tuple[Any, ...], tuple[Any, ...]] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.is_shared = False  # the pool's, so that others follow
        self.session_is_changed = False  # for those that follow
        self.factories_are_changed = False  # what is put back is as it was
        # Psycopg sets them, one after the other, and each is compared with all.
        self._row_factory: Any = None
        self._cursor_factory: Any = None
        self._server_cursor_factory: Any = None
        super().__init__(*args, **kwargs)

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """Make a cursor that notes what changes the session; arguments are psycopg's."""
        made_by = self._cursor_factory
        if not args and not kwargs and isinstance(made_by, type):
            # What psycopg's does, and at once of the class that notes: to change an object's
            # class costs as much as a fifth of its making.
            self._check_connection_ok()
            watched = watching(made_by) if self.is_shared else made_by
            return watched(self, row_factory=self._row_factory)
        cursor = super().cursor(*args, **kwargs)
        self.watch(cursor)
        if getattr(cursor, "withhold", False) and not cursor.name.startswith(_CHUNKED):
            self.session_is_changed = True  # it outlives its transaction, and no text says so
        return cursor

    def watch(self, cursor: Any) -> None:
        """Let a cursor that somebody has made note what changes the session."""
        # Not by the factory, which is the user's to see.
        if self.is_shared and isinstance(cursor, psycopg.Cursor):
            # Of the cursor in a tool's proxy, where it is in one.
            cursor.__class__ = watching(cursor.__class__)

    def note_as_opened(self) -> None:
        """Note what a reset makes of this object."""
        attributes = {name: getattr(self, name) for name in _RESTORED}
        self._as_opened = attributes, (*self._notice_handlers,), (*self._notify_handlers,)

    def restore_as_opened(self) -> None:
        """Undo what the user's code has set since, as the server's reset cannot."""
        if self._as_opened is None:
            return
        attributes, notice_handlers, notify_handlers = self._as_opened
        for name, value in attributes.items():
            setattr(self, name, value)
        self._notice_handlers, self._notify_handlers = [*notice_handlers], [*notify_handlers]
        if self._notifies_backlog:
            self._notifies_backlog.clear()
        # The reset ends what the server has prepared; psycopg does not always see that.
        self._prepared.clear()

    def begin_session(self) -> None:
        """Take everything as it is now for unchanged."""
        self._adapters = NotingAdapters(self.adapters, self)
        self._begun_with = self._factories()
        self.session_is_changed = self.factories_are_changed = False

    def _note_factories(self) -> None:
        """Note if a factory is another one than when the session began."""
        self.factories_are_changed = self._begun_with != self._factories()

    def _factories(self) -> tuple[Any, Any, Any]:
        return self._row_factory, self._cursor_factory, self._server_cursor_factory

    @property
    def row_factory(self) -> Any:
        """What makes rows; see psycopg."""
        return self._row_factory

    @row_factory.setter
    def row_factory(self, value: Any) -> None:
        self._row_factory = value
        self._note_factories()

    @property
    def cursor_factory(self) -> Any:
        """What makes cursors; see psycopg."""
        return self._cursor_factory

    @cursor_factory.setter
    def cursor_factory(self, value: Any) -> None:
        self._cursor_factory = value
        self._note_factories()

    @property
    def server_cursor_factory(self) -> Any:
        """What makes server-side cursors; see psycopg."""
        return self._server_cursor_factory

    @server_cursor_factory.setter
    def server_cursor_factory(self, value: Any) -> None:
        self._server_cursor_factory = value
        self._note_factories()

    def set_isolation_level(self, value: Any) -> None:
        """Set the isolation level of the transactions to come; see psycopg."""
        self.session_is_changed = True
        super().set_isolation_level(value)

    def set_read_only(self, value: bool | None) -> None:
        """Set whether the transactions to come only read; see psycopg."""
        self.session_is_changed = True
        super().set_read_only(value)

    def set_deferrable(self, value: bool | None) -> None:
        """Set whether the transactions to come are deferrable; see psycopg."""
        self.session_is_changed = True
        super().set_deferrable(value)

    @property
    def prepare_threshold(self) -> int | None:
        """After how many times a query is prepared; see psycopg."""
        return super().prepare_threshold

    @prepare_threshold.setter
    def prepare_threshold(self, value: int | None) -> None:
        self.session_is_changed = True
        self._prepared.prepare_threshold = value

    @property
    def prepared_max(self) -> int | None:
        """How many prepared queries there may be; see psycopg."""
        return super().prepared_max

    @prepared_max.setter
    def prepared_max(self, value: int | None) -> None:
        self.session_is_changed = True
        self._prepared.prepared_max = sys.maxsize if value is None else value

    def add_notice_handler(self, callback: Any) -> None:
        """Let a function have the server's notices; see psycopg."""
        self.session_is_changed = True
        super().add_notice_handler(callback)

    def remove_notice_handler(self, callback: Any) -> None:
        """Undo ``add_notice_handler()``; see psycopg."""
        self.session_is_changed = True
        super().remove_notice_handler(callback)

    def add_notify_handler(self, callback: Any) -> None:
        """Let a function have the notifications; see psycopg."""
        self.session_is_changed = True
        super().add_notify_handler(callback)

    def remove_notify_handler(self, callback: Any) -> None:
        """Undo ``add_notify_handler()``; see psycopg."""
        self.session_is_changed = True
        super().remove_notify_handler(callback)
