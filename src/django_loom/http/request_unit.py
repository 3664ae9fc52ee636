"""Each request is a unit of work."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django_loom.bridge import Unit, unit_of_work

logger = logging.getLogger("django_loom")


@contextmanager
def request_unit() -> Iterator[Unit]:
    """Run the block that serves a request as a unit of work.

    What rooms do at its end may fail, but can't undo an answer that was sent: it is logged.
    """
    with unit_of_work() as unit:
        try:
            yield unit
        finally:
            try:
                unit.end()
            except Exception:
                logger.exception("The end of a request's unit of work failed")
