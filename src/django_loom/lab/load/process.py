"""Run the load generator in processes of its own."""

from __future__ import annotations

import select
import subprocess
import sys
from contextlib import suppress
from time import monotonic
from types import TracebackType

from django_loom.lab.exceptions import GeneratorError, PlanError
from django_loom.lab.load.generator import REFUSED, encode_plan
from django_loom.lab.load.plan import LoadPlan
from django_loom.lab.load.results import LoadResult, joined
from django_loom.lab.processes.pinning import check_cores

# Not with -m, which warns of a module that its own package imports.
START = "import sys; from django_loom.lab.load.generator import main; sys.exit(main())"
COMMAND = (sys.executable, "-c", START)
STARTING_SECONDS = 60.0  # for Python to start, and for the clients to connect


class Generators:
    """Processes that make one load after another; a context manager that leaves none behind."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Generators:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def run(self, plan: LoadPlan) -> LoadResult:
        """Make a load with `plan.processes` processes, wait for its end and join their figures.

        Raises `PlanError` if the plan cannot be done, and `GeneratorError` if a process fails; the
        processes are ended then.
        """
        check_cores(plan.core, plan.processes)
        while len(self._processes) < plan.processes:
            self._processes.append(started())
        deadline = monotonic() + longest(plan)
        used = self._processes[: plan.processes]
        try:
            for process, share in zip(used, plan.shares(), strict=True):
                send(process, share)
            return joined([result_of(process, deadline) for process in used])
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the processes; the next load starts new ones."""
        while self._processes:
            process = self._processes.pop()
            process.kill()
            with suppress(BrokenPipeError):  # of a plan that it did not read
                process.communicate()


def run_processes(plan: LoadPlan) -> LoadResult:
    """Make one load as `Generators.run` does, with processes that end with it."""
    with Generators() as generators:
        return generators.run(plan)


def started() -> subprocess.Popen[str]:
    return subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,  # its end ends the process, however this one ends
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C comes to this process, which then ends the others
    )


def send(process: subprocess.Popen[str], plan: LoadPlan) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it ended already; result_of() says why
        process.stdin.write(encode_plan(plan) + "\n")
        process.stdin.flush()


def result_of(process: subprocess.Popen[str], deadline: float) -> LoadResult:
    assert process.stdout is not None
    patience = max(0.0, deadline - monotonic())
    if not select.select([process.stdout], [], [], patience)[0]:
        raise GeneratorError("a generator did not end its load in the time that this may take")
    # A process writes one line for each plan and flushes it, so none is left in the buffer.
    if line := process.stdout.readline():
        return LoadResult.from_json(line)
    _, complaint = process.communicate()
    if process.returncode == REFUSED:
        raise PlanError(complaint.strip())
    last_line = (complaint.strip() or "no output").splitlines()[-1]
    raise GeneratorError(f"a generator ended with exit code {process.returncode}: {last_line}")


def longest(plan: LoadPlan) -> float:
    return STARTING_SECONDS + plan.warmup + plan.window_seconds + 3 * plan.timeout
