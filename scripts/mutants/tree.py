"""A copy of the repository, in which modules are changed and tests are run."""

from __future__ import annotations

import compileall
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .plan import CHOICE, PACKAGE, Job

COPIED = ("demo", "src", "tests", "pyproject.toml", "uv.lock", "README.md")
PYTEST = ["-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:xdist"]
TEST_SECONDS = 20  # of one test that hangs; pytest-timeout ends it
MEMORY = 8 << 30  # of a process that takes more and more

PASSED, NO_TESTS = 0, 5


class Tree:
    """The copy, and how tests are run in it."""

    def __init__(self, root: Path, folder: Path, postgres: str) -> None:
        self.folder = folder
        self._limits: dict[tuple[str, ...], float] = {}
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in COPIED:
            if (root / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", ".data")
                shutil.copytree(root / name, folder / name, ignore=ignored)
            else:
                shutil.copy(root / name, folder / name)
        compileall.compile_dir(folder, quiet=2)
        # A mutant may be written in the same second as the one before, with the same length: then
        # Python would take the other's compiled file. So none is written any more.
        self._environment = os.environ | {
            "LOOM_TEST_POSTGRES": postgres,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": f"{folder / 'src'}{os.pathsep}{folder}",
        }
        self._require_copy()

    def _require_copy(self) -> None:
        program = "import django_loom; print(django_loom.__file__)"
        command = [sys.executable, "-c", program]
        done = subprocess.run(
            command, cwd=self.folder, env=self._environment, check=True, stdout=subprocess.PIPE
        )
        if not Path(done.stdout.decode().strip()).is_relative_to(self.folder):
            raise RuntimeError(f"the tests would import {done.stdout.decode().strip()}")

    def require_passes(self, tests: tuple[str, ...]) -> None:
        """Run the tests on the unchanged tree; what they take sets the limit for mutants.

        :raises RuntimeError: they fail.
        """
        if tests in self._limits:
            return
        start = time.monotonic()
        code, output = self._run(tests, 600)
        if code != PASSED:
            raise RuntimeError(f"the tests fail without a change:\n{output}")
        took = time.monotonic() - start
        self._limits[tests] = 60 + 4 * took
        print(f"{took:4.0f} s  {' '.join(tests)}", flush=True)

    def kills(self, job: Job) -> bool:
        """Return whether a test fails, or hangs, or its process ends, with the mutant in place."""
        with self._changed(job):
            code, output = self._run(job.tests, self._limits[job.tests])
        if code == NO_TESTS:
            raise RuntimeError(output)
        return code != PASSED

    @contextmanager
    def _changed(self, job: Job) -> Iterator[None]:
        path = self.folder / PACKAGE / f"{job.module}.py"
        before = path.read_text()
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()
        path.write_text(job.mutant.source)
        try:
            yield
        finally:
            path.write_text(before)

    def _run(self, tests: tuple[str, ...], limit: float) -> tuple[int | None, str]:
        command = [sys.executable, "-m", "pytest", *PYTEST, f"--timeout={TEST_SECONDS}"]
        process = subprocess.Popen(
            [*command, "-k", CHOICE, *tests],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # so that all it has started can be ended with it
            preexec_fn=limit_memory,
        )
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            return None, ""
        finally:
            end_group(process)
        return process.returncode, output[-3000:]


def limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def end_group(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
