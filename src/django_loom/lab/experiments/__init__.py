"""The experiments, by name."""

from __future__ import annotations

from django_loom.lab.exceptions import UsageError
from django_loom.lab.experiments import (
    adapters,
    blocking,
    compare,
    concurrency,
    cpu,
    fan_out,
    io_time,
    orm,
)
from django_loom.lab.experiments.experiment import Experiment

EXPERIMENTS = {
    each.name: each
    for each in (
        concurrency.EXPERIMENT,
        io_time.EXPERIMENT,
        blocking.EXPERIMENT,
        fan_out.EXPERIMENT,
        adapters.EXPERIMENT,
        orm.EXPERIMENT,
        cpu.EXPERIMENT,
    )
}


def described(name: str) -> Experiment:
    """What an outcome's experiment is; `UsageError` for an unknown name."""
    return compare.EXPERIMENT if name == compare.EXPERIMENT.name else experiment(name)


def experiment(name: str) -> Experiment:
    """The experiment of that name, on ready-made servers; `UsageError` for another name."""
    if name not in EXPERIMENTS:
        raise UsageError(f"there is no experiment {name!r}; there are: {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]
