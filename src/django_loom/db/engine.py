"""What leases and pools ask of a driver; each engine brings its own answers."""

from __future__ import annotations

from typing import Any


class Engine:
    """Answers about a driver's connection; but for ``reset_session()``, none of them waits.

    This one is for drivers that say nothing of their state.
    """

    closing_a_cursor_waits = True
    """Whether the driver has to tell the server that a cursor is closed."""
    cursors_stay_open = True
    """Whether rows of a chunked cursor come while they are asked for."""
    can_reset_session = False
    """Whether ``reset_session()`` is there; else a connection with a changed one is closed."""

    def ends_with_transaction(self, cursor: Any) -> bool:
        """Tell if the server has closed a driver's cursor at the end of its transaction."""
        return False

    def is_idle(self, connection: Any, autocommit: bool) -> bool:
        """Tell if no statement runs and no transaction is open, also none of the driver's."""
        return True

    def transaction_is_usable(self, connection: Any) -> bool:
        """Tell if the open transaction can be rolled back as usual."""
        return True

    def seems_alive(self, connection: Any) -> bool:
        """Tell if the connection is not known or feared to be lost."""
        return True

    def is_open(self, connection: Any) -> bool:
        """Tell if nobody has closed the driver's connection itself."""
        return True

    def session_is_changed(self, connection: Any) -> bool:
        """Tell if a statement has changed the session, which others must not see."""
        return False

    def session_begins(self, connection: Any) -> None:
        """Take the session as it is now for unchanged."""

    def reset_session(self, connection: Any) -> None:
        """Undo what has changed the session; this may wait."""
        raise NotImplementedError

    def reset_transaction(self, connection: Any) -> bool:
        """Roll back what a call has left, before whatever comes next; tell if that is done."""
        return False

    def cut_off(self, connection: Any) -> None:
        """Let whoever waits for the server on the connection fail, in whatever thread."""

    def close_unused(self, cursor: Any) -> None:
        """Close a cursor that has run nothing, without a word to the server."""

    def close(self, connection: Any) -> None:
        """Close the connection without waiting for the server."""
        connection.close()
