"""A load from processes of their own, with the proof that they were not the limit."""

from __future__ import annotations

from dataclasses import replace

from django_loom.lab.load.calibration import ceiling
from django_loom.lab.load.plan import LoadPlan
from django_loom.lab.load.process import Generators, run_processes
from django_loom.lab.load.results import LoadResult


def run_load(plan: LoadPlan, generators: Generators | None = None) -> LoadResult:
    """Make a load from processes of their own, wait for its end and return the figures.

    With `generators` its processes are used, which saves their start. `ceiling_share` of the result
    is the larger of two shares: the requests per second of what the generator did against a server
    that does nothing, and the processor time of the wall time.

    Raises `PlanError` if the plan cannot be done, and `GeneratorError` if a process fails. On every
    exception, KeyboardInterrupt included, no process is left.
    """
    capacity = ceiling(plan.keep_alive, plan.core) * plan.processes
    result = generators.run(plan) if generators else run_processes(plan)
    busy = result.cpu_seconds / (result.seconds * plan.processes)
    share = max(result.requests_per_second / capacity, busy)
    return replace(result, core=plan.core, ceiling_share=share)
