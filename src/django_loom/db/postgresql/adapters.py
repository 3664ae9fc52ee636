"""psycopg's adapters, with a note of what code registers in them."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from psycopg.adapt import AdaptersMap

if TYPE_CHECKING:
    from .session_noting import SessionNotingConnection


class NotingAdapters(AdaptersMap):
    """A copy of a connection's adapters that notes on it what is registered."""

    def __init__(self, adapters: AdaptersMap, connection: SessionNotingConnection) -> None:
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
