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
    mode = MODES[ChildConfig.from_environment().mode]
    sys.argv[0] = os.path.abspath("runtests.py")
    if mode.on_loop:
        import django_loom

        asyncio.run(django_loom.run_sync(runpy.run_path, sys.argv[0], run_name="__main__"))
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
