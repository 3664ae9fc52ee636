"""Which statements change a PostgreSQL session for those that follow."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from psycopg.abc import Query

# Command tags (PostgreSQL documentation, "CommandComplete"). SET's own is looked at below.
_TAGS = frozenset(
    (
        b"RESET",
        b"LISTEN",
        b"UNLISTEN",
        b"PREPARE",
        b"DEALLOCATE",
        b"DEALLOCATE ALL",
        b"LOAD",
        b"DISCARD",
        b"DISCARD ALL",
        b"DISCARD PLANS",
        b"DISCARD SEQUENCES",
        b"DISCARD TEMP",
    )
)
_TELLING = _TAGS | {b"SET"}
_SET_FOR_TRANSACTION = re.compile(r"\s*set\s+(?:local|transaction|constraints)\b", re.IGNORECASE)
_AT_BEGIN = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*"
    r"(?:set|reset|listen|unlisten|prepare|deallocate|load|discard)\b",
    re.IGNORECASE | re.DOTALL,
)
_IN_TEXT = re.compile(
    r"set_config\s*\((?![^()]*,\s*true\s*\))"
    r"|pg_(?:try_)?advisory_lock"
    r"|\b(?:create|into)\s+(?:or\s+replace\s+)?(?:local\s+|global\s+)?temp(?:orary)?\b"
    r"|\bpg_temp\b"
    r"|\bwith\s+hold\b"
    r"|;\s*(?:set|reset|listen|unlisten|prepare|load|discard)\b",
    re.IGNORECASE,
)


def changes_session(query: Query, tag: bytes | None) -> bool:
    """Tell if a statement has changed more of its session than its transaction.

    What a function or a DO block does is not seen: ``OPTIONS["pool"]["per_unit"]`` and
    ``django_loom.pin()`` are for those.

    :param tag: the command tag that the server answered, such as ``b"SET"``.
    """
    if tag in _TAGS:
        return True
    text = _text(query)
    if tag == b"SET":
        return _SET_FOR_TRANSACTION.match(text) is None
    return _text_changes_session(text)


def may_have_changed_session(query: Query) -> bool:
    """Tell the same of a statement that was cut short, whose answer nobody has seen."""
    text = _text(query)
    return _text_changes_session(text) or _AT_BEGIN.match(text) is not None


def _text(query: Query) -> str:
    if isinstance(query, str):
        return query
    return query.decode("utf-8", "replace") if isinstance(query, bytes) else str(query)


@lru_cache(maxsize=2000)
def _text_changes_session(query: str) -> bool:
    return _IN_TEXT.search(query) is not None


def _watching(cursor_class: Any) -> Any:
    """Return the class of cursors, noting on the connection what changes its session."""

    class Watching(cursor_class):
        __slots__ = ()
        notes_session = True

        def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                result = super().execute(query, *args, **kwargs)
            except BaseException:
                # Cancelled, and the server has answered already, unread → the connection is
                # idle, with a lock or a setting of which no tag tells → the text has to do.
                if may_have_changed_session(query):
                    self._conn.session_is_changed = True
                raise
            connection = self._conn
            if not connection.session_is_changed:
                last = self.pgresult
                tag = None if last is None else last.command_status
                if type(query) is str and tag not in _TELLING:
                    is_changed = _text_changes_session(query)  # as mostly; without a call more
                else:
                    is_changed = changes_session(query, tag)
                if is_changed:
                    connection.session_is_changed = True
            return result

        def executemany(self, query: Any, *args: Any, **kwargs: Any) -> None:
            super().executemany(query, *args, **kwargs)
            if not self._conn.session_is_changed and changes_session(query, None):
                self._conn.session_is_changed = True

    Watching.__name__ = cursor_class.__name__
    Watching.__qualname__ = cursor_class.__qualname__
    return Watching


watching: Any = lru_cache(maxsize=100)(_watching)
