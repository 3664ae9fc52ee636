"""Server-sent events: the progress of an experiment, to whoever listens."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from .experiments import Experiments

QUIET_SECONDS = 5.0  # after which a line says that the connection is still there
RETRY = "retry: 1000\n\n"


async def events(experiments: Experiments) -> AsyncIterator[str]:
    """Yield each state of the experiment that runs, the last one too, and end.

    Who leaves ends this iterator and nothing else. Source of the format: the HTML Standard,
    "Server-sent events".
    """
    yield RETRY
    progress = experiments.progress
    if progress is None:
        yield _event({"over": True})
        return
    async for changed in experiments.changes.follow(progress, QUIET_SECONDS):
        yield _event(progress.as_json()) if changed else ": still here\n\n"


def _event(content: object) -> str:
    return f"data: {json.dumps(content)}\n\n"
