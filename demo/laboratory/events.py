"""Server-sent events: the progress of an experiment, to whoever listens."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from .experiments import Experiments

# Shorter than the grace time that the server has when it stops: a page that listens must not
# hold that up. The browser connects again by itself, after so many milliseconds.
STREAM_SECONDS = 2.0
RETRY = "retry: 100\n\n"


async def events(experiments: Experiments) -> AsyncIterator[str]:
    """Yield each state of the experiment that runs, the last one too, and end.

    Who leaves ends this iterator and nothing else. Source of the format: the HTML Standard,
    "Server-sent events".
    """
    yield RETRY
    if experiments.progress is None:
        yield _event({"over": True})
        return
    async for progress in experiments.changes.follow(experiments.progress, STREAM_SECONDS):
        yield _event(progress.as_json())


def _event(content: object) -> str:
    return f"data: {json.dumps(content)}\n\n"
