"""Each command of the deployment page that serves does so, and stops when it is asked to."""

from __future__ import annotations

import pytest

from .blocks import commands
from .project import Project
from .serving import MODULES, served

LINES = [line for line in commands("docs/how-to/deploy.md") if line.partition(" ")[0] in MODULES]


def test_every_server_is_there() -> None:
    assert {line.partition(" ")[0] for line in LINES} == set(MODULES)


@pytest.mark.parametrize("line", LINES)
@pytest.mark.timeout(90)
def test_a_server_serves_and_stops(line: str, project: Project) -> None:
    with served(project, line) as server:
        assert server.get("/")[0] == 200
