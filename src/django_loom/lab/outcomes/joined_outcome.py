"""Make one outcome of several runs of an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django_loom.lab.exceptions import UsageError
from django_loom.lab.outcomes.outcome import Outcome

RUNS = "joined runs"
NOT_THE_SAME = "not the same in all"
OF_THE_MOMENT = ("load",)  # differs in every two runs


def joined(outcomes: Sequence[Outcome]) -> Outcome:
    """One outcome with the samples of all, as further repeats of their points.

    Conditions that are not the same in all runs have each run's value, and are named in one more.
    One outcome alone is returned as it is.

    Raises `UsageError` for runs of different experiments, for the same run twice, and where a
    server or a point is not the same thing in all.
    """
    first, *others = outcomes
    if not others:
        return first
    check_same_experiment(outcomes)
    for number, each in enumerate(outcomes):
        if each in outcomes[:number]:
            raise UsageError(f"the run of {each.started} is given twice, and would count twice")
    return replace(
        first,
        started=min(each.started for each in outcomes),
        labels={server: label for each in outcomes for server, label in each.labels.items()},
        conditions=joined_conditions(outcomes),
        samples=[sample for each in outcomes for sample in each.samples],
        cross_checks=[check for each in outcomes for check in each.cross_checks],
        complete=all(each.complete for each in outcomes),
        notes=list(dict.fromkeys(note for each in outcomes for note in each.notes)),
    )


def named(outcome: Outcome) -> str:
    subject = f" of {outcome.subject}" if outcome.subject else ""
    return f"{outcome.experiment}{subject} ({outcome.started})"


def check_same_experiment(outcomes: Sequence[Outcome]) -> None:
    """Raise `UsageError` unless servers and points of all outcomes mean the same."""
    first = outcomes[0]
    labels: dict[str, str] = {}
    points: dict[tuple[str, float], tuple[int, float, float | None]] = {}
    for each in outcomes:
        if (each.experiment, each.subject) != (first.experiment, first.subject):
            raise UsageError(
                f"expected runs of one experiment, not of {named(first)} and {named(each)}"
            )
        for server, label in each.labels.items():
            if (known := labels.setdefault(server, label)) != label:
                raise UsageError(f"the server {server} is {known!r} in one run, {label!r} in other")
        for sample in each.samples:
            load = (sample.clients, sample.wait, sample.at_once)
            if points.setdefault((sample.server, sample.x), load) != load:
                raise UsageError(
                    f"{sample.server} at {sample.x:g} is not the same load in all runs"
                )


def joined_conditions(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    different = differing([each.conditions for each in outcomes])
    names = dict.fromkeys(name for each in outcomes for name in each.conditions)
    values = {
        name: {each.started: each.conditions.get(name) for each in outcomes}
        if name in different or name in OF_THE_MOMENT
        else outcomes[0].conditions[name]
        for name in names
    }
    runs = {RUNS: [each.started for each in outcomes]}
    return {**runs, **({NOT_THE_SAME: different} if different else {}), **values}


def differing(conditions: Sequence[dict[str, Any]]) -> list[str]:
    """The names of conditions that are not the same in all, but for the machine's load."""
    names = dict.fromkeys(name for each in conditions for name in each)
    return [
        name
        for name in names
        if name not in OF_THE_MOMENT
        and any(each.get(name) != conditions[0].get(name) for each in conditions)
    ]
