"""Cursors whose statements take turns where they write outside a transaction."""

from __future__ import annotations

import re
from typing import Any

from django.db.backends.utils import CursorDebugWrapper, CursorWrapper

from django_loom.db import turns
from django_loom.db.cursors import FetchingCursorMixin

_READS = re.compile(r"\s*(?:select|pragma|explain|values)\b", re.IGNORECASE)


class WritingCursorMixin(FetchingCursorMixin):
    """Lets one statement after the other write, in the order in which they come."""

    def executescript(self, *args: Any) -> Any:
        """Run statements; see sqlite3, whose own cursor may be of a connection before."""
        return self._run(lambda *args: self.cursor.executescript(*args), args)

    def _run(self, execute: Any, args: tuple[Any, ...]) -> Any:
        db: Any = self.db
        lease = self._lease
        if not db.leased or lease.scopes or _READS.match(str(args[0])) is not None:
            return super()._run(execute, args)
        writers = db.writers()
        if writers is None or not db.get_autocommit():
            return super()._run(execute, args)
        turns.wait_to_write(db, writers, db.lease_here())
        try:
            return super()._run(execute, args)
        finally:
            writers.release()


class WritingCursor(WritingCursorMixin, CursorWrapper):
    """Django's cursor wrapper, following its lease."""


class WritingDebugCursor(WritingCursorMixin, CursorDebugWrapper):
    """Django's cursor wrapper that logs queries, following its lease."""
