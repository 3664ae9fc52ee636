"""Says where a hanging child hangs.

The parent asks for it by a signal, so that no timer and no thread disturbs the tests.
"""

import faulthandler
import gc
import os
import signal
import sys
import traceback
from types import FrameType

DUMP_SIGNAL = signal.SIGALRM
# Answered by faulthandler itself, for when the main thread gets to no Python code.
DUMP_SIGNAL_IN_C = signal.SIGABRT


def dump_on_signal() -> None:
    faulthandler.enable(sys.__stderr__)
    signal.signal(DUMP_SIGNAL, _dump_and_exit)


def _dump_and_exit(signum: int, frame: FrameType | None) -> None:
    # A test may have replaced sys.stderr.
    faulthandler.dump_traceback(sys.__stderr__, all_threads=True)
    for stack in _suspended_greenlets():
        print("Suspended greenlet:", file=sys.__stderr__)
        traceback.print_stack(stack, file=sys.__stderr__)
    sys.__stderr__.flush()
    os._exit(1)


def _suspended_greenlets() -> list[FrameType]:
    if (module := sys.modules.get("greenlet")) is None:
        return []
    return [
        item.gr_frame
        for item in gc.get_objects()
        if isinstance(item, module.greenlet) and item.gr_frame is not None
    ]
