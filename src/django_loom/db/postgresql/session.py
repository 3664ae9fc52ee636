"""Which statements change a PostgreSQL session for those that follow."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache
from typing import Any

from psycopg import sql
from psycopg.abc import Query

_COMMENT = r"--[^\r\n]*|/\*(?:(?!/\*|\*/).)*\*/"
# What does not end with the transaction. A comment in a comment: who knows what follows.
_COMMAND = r"""
    ; (?:\s|{comment})*+ (?:
        set\b (?!\s+(?:local|transaction|constraints)\s+[\w"])
        | (?:reset|listen|unlisten|deallocate|load|discard)\b
        | prepare\b (?!\s+transaction\b)
        | /\*
    )
"""
# An argument of set_config(..., true) that ends where it seems to.
_PLAIN = r"\s*(?:'(?:[^']|'')*'|%s|%\(\w+\)s|[\w.$]+)(?:::\w+)?\s*"
_ANYWHERE = r"""
    set_config"? \s*\( (?!{plain},{plain},\s*true\s*\))
    | set(?:seed|_limit)"? \s*\(
    | pg_(?:try_)?advisory_lock
    | pg_temp\b
    | update\s+(?:only\s+)?[\w."]*\bpg_settings\b
    | (?:create|into)\s+(?:or\s+replace\s+)?(?:local\s+|global\s+)?temp(?:orary)?\b
    | with\s+hold\b
"""
# Each branch begins with one of few characters, and no flag makes their case all one: so
# re finds quickly that there is nothing.
_CHANGE = re.compile(
    f"{_COMMAND} | {_ANYWHERE}".format(comment=_COMMENT, plain=_PLAIN), re.DOTALL | re.VERBOSE
)
_ANY_COMMENT = re.compile(_COMMENT, re.DOTALL)


@lru_cache(maxsize=2000)
def changes_session(text: str) -> bool:
    """Tell if statements may change more of their session than their transaction.

    In doubt they do, which costs a reset. What a function or a DO block does is not seen:
    ``OPTIONS["pool"]["per_unit"]`` and ``django_loom.pin()`` are for those.
    """
    text = f";{text.lower()}"
    if _CHANGE.search(text):
        return True
    # As it stands as well: what seems a comment may be in a string.
    return _CHANGE.search(_ANY_COMMENT.sub(" ", text)) is not None


def text_of(query: Query, cursor: Any) -> str:
    """Return the text of a query; nothing for one that can't be sent."""
    if isinstance(query, str):
        return query
    if isinstance(query, bytes):
        return query.decode("utf-8", "replace")
    with suppress(Exception):  # the driver is about to raise it
        return sql.as_string(query, cursor)
    return ""


def _watching(cursor_class: Any) -> Any:
    """Return the class of cursors, noting on the connection what changes its session.

    Before it is sent: cancelled, and the server has answered already, unread → the connection
    is idle, with a lock or a setting of which nobody knows → it's noted by then. So it is with
    what a pipeline, a copy or a stream does later.
    """
    if getattr(cursor_class, "notes_session", False):
        return cursor_class

    class Watching(cursor_class):
        __slots__ = ()
        notes_session = True

        def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
            # What _note() does, without the call.
            connection = self._conn
            if not connection.session_is_changed and changes_session(
                query if type(query) is str else text_of(query, self)
            ):
                connection.session_is_changed = True
            return super().execute(query, *args, **kwargs)

        def executemany(self, query: Any, *args: Any, **kwargs: Any) -> None:
            self._note(query)
            super().executemany(query, *args, **kwargs)

        def stream(self, query: Any, *args: Any, **kwargs: Any) -> Any:
            self._note(query)
            return super().stream(query, *args, **kwargs)

        def copy(self, statement: Any, *args: Any, **kwargs: Any) -> Any:
            self._note(statement)
            return super().copy(statement, *args, **kwargs)

        def _note(self, query: Any) -> None:
            if changes_session(text_of(query, self)):
                self._conn.session_is_changed = True

    Watching.__name__ = cursor_class.__name__
    Watching.__qualname__ = cursor_class.__qualname__
    return Watching


watching: Any = lru_cache(maxsize=100)(_watching)
