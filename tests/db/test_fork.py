"""After a fork parent and child can both query, each over connections of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings

pytestmark = pytest.mark.usefixtures("db_tables")


def run(program: str) -> dict[str, Any]:
    entry = settings.DATABASES["default"]
    address = {key: entry[key] for key in ["HOST", "PORT", "NAME", "USER", "PASSWORD"]}
    done = subprocess.run(
        # Python warns of any fork while threads run; that is what one of these is about.
        [
            sys.executable,
            "-W",
            "error",
            "-W",
            "ignore::DeprecationWarning",
            "-m",
            "tests.db.child",
            program,
        ],
        env=os.environ | {"LOOM_CHILD_DATABASE": json.dumps(address)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.returncode, done.stderr) == (0, "")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize(
    "program",
    ["used_on_a_loop", "used_in_a_thread", "used_by_another_thread", "several_children"],
)
def test_a_child_opens_its_own_connections_and_spares_the_parents(program: str) -> None:
    pids = run(program)
    assert pids["before"] == pids["after"]
    assert pids["before"] not in pids["child"]


def test_a_child_begins_with_an_empty_pool() -> None:
    assert run("statistics_of_the_child")["child"] == [1, 0, 1]
