"""The site that the browser looks at: `python -m demo`, which has to leave nothing behind."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.demo.launched import Launched, children_of, launched
from tests.lab.processes import is_running


@contextmanager
def running(data: Path) -> Iterator[str]:
    """Run the site with its data in a folder, and yield its address; check how it ends."""
    with launched(data) as demo:
        assert demo.urls, demo.output
        yield demo.urls[0].rstrip("/")
        started = descendants(demo.process.pid)
        assert demo.stop(signal.SIGINT) == 0, demo.output
        check_end(demo, started)


def check_end(demo: Launched, started: list[int]) -> None:
    """Fail if the site has complained, or if anything of it still runs."""
    assert "Traceback" not in demo.output, demo.output
    assert "ERROR" not in demo.output, demo.output
    left = [process for process in started if is_running(process)]
    assert not left, f"these processes are left: {left}"


def descendants(process: int) -> list[int]:
    """The processes that a process has started, and those that these have."""
    children = children_of(process)
    return [*children, *(each for child in children for each in descendants(child))]
