"""The demo's own tests pass; they are a Django project's, with settings of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a process that runs the demo, with a data folder that goes away."""
    variables = {
        "DJANGO_SETTINGS_MODULE": "demo.project.settings",
        "LOOM_DEMO_DATA": str(tmp_path_factory.mktemp("data")),
    }
    return {key: value for key, value in os.environ.items() if key != "DATABASE_URL"} | variables


def manage(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "demo.manage", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        check=False,
    )


@pytest.mark.timeout(300)
def test_the_tests_of_the_demo_pass(environment: dict[str, str]) -> None:
    result = manage("test", "demo", environment=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "\nOK" in result.stderr
    assert "Ran 0 tests" not in result.stderr


def test_the_demo_passes_djangos_checks(environment: dict[str, str]) -> None:
    result = manage("check", "--fail-level", "WARNING", environment=environment)
    assert result.returncode == 0, result.stderr


def test_each_change_of_a_model_has_its_migration(environment: dict[str, str]) -> None:
    result = manage("makemigrations", "--check", "--dry-run", environment=environment)
    assert result.returncode == 0, result.stdout + result.stderr
