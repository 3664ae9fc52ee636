"""A process of the demo ends with the one that started it, however that ends."""

from __future__ import annotations

import asyncio
import os
import signal

VARIABLE = "LOOM_DEMO_PARENT"


def stop_with_parent() -> None:
    """Stop this process, as SIGTERM does, when the process that started it is gone.

    That one holds the other end of a pipe, which the system closes for it. Without
    ``LOOM_DEMO_PARENT`` nobody did, and nothing is watched. To be called on the loop.
    """
    # Taken out, as the number means another file in processes that this one starts.
    given = os.environ.pop(VARIABLE, None)
    if given is not None:
        pipe = int(given)
        asyncio.get_running_loop().add_reader(pipe, _stop, pipe)


def _stop(pipe: int) -> None:
    asyncio.get_running_loop().remove_reader(pipe)
    os.kill(os.getpid(), signal.SIGTERM)
