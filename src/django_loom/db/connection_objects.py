"""The connection objects of a unit of work, and those of a thread: one for each alias."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import suppress
from functools import partial
from typing import Any

from django_loom.bridge import Unit, finish_all
from django_loom.exceptions import AutocommitLeftOff

from . import parking
from .unit_jobs import jobs_of, running_jobs
from .wrapper import LoomDatabaseMixin

logger = logging.getLogger("django_loom")


class UnitConnections(dict[str, Any]):
    """The connection objects of a unit of work: one for each alias."""

    def __init__(self, unit: Unit) -> None:
        super().__init__()
        unit.at_end(partial(self.end, unit))

    def end(self, unit: Unit) -> None:
        """Undo what the unit has left, and part with the objects.

        :raises AutocommitLeftOff: what was written would be lost without a word.
        """
        # The answer is sent while a thread works on, because nobody waits for it any more →
        # its next statement would find another session, say another tenant's tables → what
        # is pinned stays until the last of these threads is through.
        keep_session = running_jobs(unit) > 0
        lost: list[str] = []
        try:
            for alias in list(self):
                # No variable for it, for parking counts who has it.
                if self[alias].leases or self[alias].outliving or self[alias].pinned is not None:
                    lost += self[alias].unit_ends(keep_session=keep_session)
                self._part_with(alias)
        except BaseException:
            with suppress(BaseException):
                finish_all(
                    partial(self._end_alias, alias, keep_session, lost) for alias in list(self)
                )
            for message in lost:  # which would have been an error of its own
                logger.warning(message)
            raise
        finally:
            # Not before: the last of them may end now, and would do the same beside us.
            if keep_session and not jobs_of(unit).after_last(self._end_sessions):
                self._end_sessions()
        if lost:
            raise AutocommitLeftOff(" ".join(lost))

    def _end_alias(self, alias: str, keep_session: bool, lost: list[str]) -> None:
        try:
            lost += self[alias].unit_ends(keep_session=keep_session)
        finally:
            self._part_with(alias)

    def _part_with(self, alias: str) -> None:
        # A thread may outlive its unit, in the midst of a transaction: it finds its own.
        if not (self[alias].leases or self[alias].outliving or self[alias].pinned is not None):
            # Taken out first: a thread that comes now must not find what is parked.
            parking.park({alias: self.pop(alias)}, alias)

    def _end_sessions(self) -> None:
        finish_all(partial(self._end_session, alias) for alias in list(self))

    def _end_session(self, alias: str) -> None:
        try:
            if self[alias].pinned is not None:
                for lost in self[alias].session_ends():
                    logger.warning(lost)
        finally:
            self._part_with(alias)


class ThreadConnections(dict[str, Any]):
    """The connection objects of one thread; they end with it.

    Django's request handlers close connections in the thread that used them. With
    the end of the request on the loop nobody comes by there any more: the thread,
    made for that request, just ends.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._thread_ident = threading.get_ident()

    def __del__(self) -> None:
        if os.getpid() != self._pid:
            return  # a thread of the parent, gone with the fork: its sockets are the parent's
        for connection in self.values():
            # Not one that another thread has lent to this one, as Django's tests do.
            own = getattr(connection, "_thread_ident", None) == self._thread_ident
            if own and isinstance(connection, LoomDatabaseMixin):
                with suppress(Exception):  # at interpreter exit anything may be missing
                    connection.thread_has_ended()
