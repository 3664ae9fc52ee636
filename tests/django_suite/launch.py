"""Runs ``runtests.py``, from the current directory, in the way that the mode says."""

import asyncio
import os
import runpy
import sys
from pathlib import Path


def main() -> None:
    # Django's tests come first, as if runtests.py had been started; ours last, to hide nothing.
    sys.path[0] = os.getcwd()
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    from django_suite.child_config import ChildConfig
    from django_suite.dump import dump_on_signal
    from django_suite.modes import MODES

    dump_on_signal()
    sys.argv[0] = os.path.abspath("runtests.py")
    config = ChildConfig.from_environment()
    if MODES[config.mode].on_loop:
        run_on_loop(config.events)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


def run_on_loop(events: Path) -> None:
    """The whole run, the test runner included, as one piece of synchronous code on the loop."""
    from django_suite.events import EventLog
    from django_suite.loop import CountingLoop

    import django_loom

    loop = CountingLoop()
    log = EventLog(events)
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(django_loom.run_sync(runpy.run_path, sys.argv[0], run_name="__main__"))
    finally:
        log.write("counts", counts={"loop turns": loop.turns})


if __name__ == "__main__":
    main()
