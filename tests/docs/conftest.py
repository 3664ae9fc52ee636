"""A project for each page, and the built documentation."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .blocks import DOCS, ROOT
from .project import Project, start


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project that the others are copies of."""
    return start(tmp_path_factory.mktemp("project"))


@pytest.fixture
def project(started: Project, tmp_path: Path) -> Project:
    """A project that the test may change."""
    shutil.copytree(started.folder, tmp_path / "site")
    return Project(tmp_path / "site")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the HTML, built as `make docs` builds it."""
    target = tmp_path_factory.mktemp("html")
    command = ["--quiet", "--fail-on-warning", "--builder", "html", str(DOCS), str(target)]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *command, "--doctree-dir", str(target / ".doctrees")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target
