"""Every Python block of README and the documentation runs, or is part of a project that does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .blocks import NAMES, Block, blocks
from .project import Project

RUN_PAGE = Path(__file__).with_name("run_page.py")
WITH_PYTHON = [name for name in NAMES if blocks(name, "python")]
DATABASES = [
    block
    for name in NAMES
    for block in blocks(name, "python")
    if block.file == "mysite/settings.py" and "DATABASES" in block.text
]


def test_pages_and_blocks_are_found() -> None:
    assert "README.md" in WITH_PYTHON
    assert len(WITH_PYTHON) > 5
    assert DATABASES


@pytest.mark.parametrize("page", WITH_PYTHON)
@pytest.mark.timeout(120)
def test_python_blocks_run(page: str, project: Project) -> None:
    found = blocks(page, "python")
    for block in found:
        if block.file and block not in DATABASES:
            project.add(block)
    in_files = [block.file for block in found if block.file]
    modules = [f"import {name[:-3].replace('/', '.')}" for name in in_files if "/test" not in name]
    to_run = [(page, 1, text) for text in modules]
    to_run += [(page, block.line, block.text) for block in found if not block.file]
    project.run(str(RUN_PAGE), text=json.dumps(to_run))
    if any(name.startswith("shop/test") for name in in_files):
        output = project.manage("test")
        assert "Found 0 test" not in output
        assert "OK" in output


@pytest.mark.parametrize("block", DATABASES, ids=str)
def test_databases_pass_the_checks(block: Block, project: Project) -> None:
    project.add(block)
    if "INSTALLED_APPS" in block.text:  # it has them all
        project.replace("mysite/settings.py", 'INSTALLED_APPS = ["django_loom", *I', "_ = [*I")
    project.manage("check", "--fail-level", "WARNING")
