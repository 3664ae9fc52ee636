"""Programs that test_fork.py runs in processes of their own: `python -m tests.db.child <name>`.

Each forks, as a preloading server does, and prints what parent and child saw.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django
from django.conf import settings

settings.DATABASES["default"].update(json.loads(os.environ["LOOM_CHILD_DATABASE"]))
django.setup()

from django.db import connection  # noqa: E402

import django_loom  # noqa: E402
from tests.db.support import abackend_pid, backend_pid  # noqa: E402


def on_loop() -> int:
    return asyncio.run(abackend_pid())


def fork(in_child: Callable[[], Any]) -> Any:
    """What the function returns in a child, which ends as a process should."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, json.dumps(in_child()).encode())
        sys.exit()
    os.close(write)
    with os.fdopen(read) as pipe:
        result = json.load(pipe)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return result


def used_on_a_loop() -> dict[str, Any]:
    before = on_loop()
    child = fork(lambda: [on_loop(), on_loop()])
    return {"before": before, "child": child, "after": on_loop()}


def used_in_a_thread() -> dict[str, Any]:
    before = backend_pid()
    child = fork(lambda: [backend_pid(), on_loop()])
    return {"before": before, "child": child, "after": backend_pid()}


def used_by_another_thread() -> dict[str, Any]:
    leased, forked = threading.Event(), threading.Event()
    pids: list[int] = []

    def hold() -> None:
        pids.append(backend_pid())
        leased.set()
        forked.wait()
        pids.append(backend_pid())
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    leased.wait()
    child = fork(lambda: [backend_pid(), on_loop()])
    forked.set()
    thread.join()
    return {"before": pids[0], "child": child, "after": pids[1]}


def several_children() -> dict[str, Any]:
    before = on_loop()
    children = [fork(lambda: [on_loop()])[0] for _ in range(3)]
    return {"before": before, "child": children, "after": on_loop()}


def statistics_of_the_child() -> dict[str, Any]:
    before = on_loop()

    def in_child() -> list[int]:
        on_loop()
        figures = django_loom.pool("default").statistics()
        return [figures.created, figures.used, figures.idle]

    return {"before": before, "child": fork(in_child), "after": on_loop()}


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()))
