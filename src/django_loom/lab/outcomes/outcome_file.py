"""Read the results of a run again, and trust nothing that is in the file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import astuple
from pathlib import Path

from django_loom.lab.exceptions import UsageError
from django_loom.lab.outcomes.outcome import Outcome, Sample

NAME = "results.json"


def read_outcome(path: Path) -> Outcome:
    """The outcome in a results.json, or in the directory of a report.

    Raises `UsageError` if there is none, or if it is broken or from another version of the lab.
    """
    file = path / NAME if path.is_dir() else path
    try:
        outcome = Outcome.from_json(file.read_text(encoding="utf-8"))
        check(outcome)
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from error
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise UsageError(f"{file}: expected what the lab wrote; it was changed or cut") from error
    return outcome


def check(outcome: Outcome) -> None:
    """Raise `UsageError` for values that the lab does not write."""
    texts = [outcome.experiment, outcome.started, outcome.subject]
    texts += [*outcome.labels.values(), *outcome.notes]
    if not all(isinstance(each, str) for each in texts) or not isinstance(outcome.conditions, dict):
        raise UsageError("expected texts as the names, and conditions by their names")
    for number, sample in enumerate(outcome.samples):
        if sample.server not in outcome.labels:
            raise UsageError(f"sample {number} is of {sample.server!r}, which is no server of it")
        check_numbers(f"sample {number}", numbers(sample))
    for number, each in enumerate(outcome.cross_checks):
        if not all(isinstance(text, str) for text in (each.tool, each.server, each.remark)):
            raise UsageError(f"cross-check {number} has no text where one should be")
        rate = each.requests_per_second
        check_numbers(f"cross-check {number}", [each.x] if rate is None else [each.x, rate])


def check_numbers(where: str, values: Iterable[float]) -> None:
    for value in values:
        # A bool is an int in Python, and JSON as Python reads it has NaN.
        if type(value) not in (int, float) or not 0 <= value < math.inf:
            raise UsageError(f"{where} has {value!r} where a number should be")


def numbers(sample: Sample) -> Iterator[float]:
    result = sample.result
    yield from (sample.x, sample.clients, sample.wait)
    yield from (result.requests, result.seconds, result.requests_per_second)
    yield from (result.bytes, result.cpu_seconds, result.loop_lag_ms)
    yield from result.statuses.values()
    yield from result.errors.values()
    if sample.at_once is not None:
        yield sample.at_once
    if result.ceiling_share is not None:
        yield result.ceiling_share
    if result.latency:
        yield from astuple(result.latency)
