"""Tells an observer when synchronous code takes the event loop's thread, and when it leaves it.

By greenlet's own trace function, which costs nothing where nobody has set one: the bridge
knows of no observer. Each greenlet switch of the thread comes by, those of libraries too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import greenlet as greenlet_module

from .greenlets import SyncCall, current_call

logger = logging.getLogger("django_loom")

Observer = Callable[[SyncCall, bool], None]


class SwitchObservation:
    """Calls an observer in the midst of each switch, until ``end()``."""

    def __init__(self, observer: Observer) -> None:
        self._observer: Observer | None = observer
        self._running: SyncCall | None = None
        self._before = greenlet_module.settrace(self._switched)

    def end(self) -> None:
        """Tell the observer nothing more. In the thread that is observed."""
        self._observer = None
        # Who set another function later calls ours, and keeps it: that is for them to end.
        if greenlet_module.gettrace() == self._switched:
            greenlet_module.settrace(self._before)

    def _switched(self, event: Any, switch: Any) -> None:
        if self._before is not None:
            self._before(event, switch)
        if self._observer is None:
            return
        call = current_call()
        if call is self._running:
            return  # between greenlets that a library has in the call, or among other code
        left, self._running = self._running, call
        try:
            if left is not None:
                self._observer(left, False)
            if call is not None:
                self._observer(call, True)
        except Exception:
            # greenlet would raise it in the code that is being switched to.
            self._observer = None
            logger.exception("An observer of switches failed, and is told nothing more")


def observe_switches(observer: Observer) -> SwitchObservation:
    """Have a callable told of the calls of ``run_sync()`` that run in this thread.

    It is called with the call, and with True when the call's code begins or goes on, False
    when that waits or has ended. It runs between two pieces of code, in the context of the
    second: it must not wait, nor switch greenlets. If it raises an Exception, that is
    logged, and it is told nothing more.

    :return: what ends it.
    """
    return SwitchObservation(observer)
