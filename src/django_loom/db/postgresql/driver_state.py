"""What code can change on psycopg's connection object, of which the server knows nothing."""

from __future__ import annotations

import sys
import weakref
from typing import Any

import psycopg
from psycopg.adapt import AdaptersMap

_ATTRIBUTES = (
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


class NotingConnection(psycopg.Connection[Any]):
    """Notes what is changed on it, and can undo that."""

    session_is_changed = False  # for those that follow
    _as_opened: tuple[dict[str, Any], tuple[Any, ...], tuple[Any, ...]] | None = None
    # The factories as they are when a session begins, to be compared. All else tells when it
    # is set; these are read for each cursor, where a property would cost more.
    begun_with: tuple[Any, Any, Any] | None = None

    def note_as_opened(self) -> None:
        """Note what a reset makes of this object."""
        attributes = {name: getattr(self, name) for name in _ATTRIBUTES}
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
        self.begun_with = self.row_factory, self.cursor_factory, self.server_cursor_factory
        self.session_is_changed = False

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


class NotingAdapters(AdaptersMap):
    """A copy of a connection's adapters that notes on it what is registered."""

    def __init__(self, adapters: AdaptersMap, connection: NotingConnection) -> None:
        super().__init__(adapters)
        self._noting = weakref.ref(connection)  # a cycle would leave it to the collector

    def register_dumper(self, *args: Any, **kwargs: Any) -> None:
        """Register a dumper; see psycopg."""
        self._note()
        super().register_dumper(*args, **kwargs)

    def register_loader(self, *args: Any, **kwargs: Any) -> None:
        """Register a loader; see psycopg."""
        self._note()
        super().register_loader(*args, **kwargs)

    def _note(self) -> None:
        connection = self._noting()
        if connection is not None:
            connection.session_is_changed = True
