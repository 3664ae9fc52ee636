"""The differences that are meant, from ``accepted.toml``: each with its reason, and not many."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .compare import Difference
from .outcomes import GOOD
from .suite import ModeRun

MOST = 25
FILE = Path(__file__).with_name("accepted.toml")


class AcceptedError(Exception):
    """The file does not say what it should."""


@dataclass(frozen=True)
class Accepted:
    """One test that may differ, in some modes, on some databases and some versions of Django."""

    test: str
    reason: str
    modes: tuple[str, ...] = ("b", "c", "d", "e")
    databases: tuple[str, ...] = ("postgresql", "sqlite")
    django: tuple[str, ...] = ()

    def applies(self, database: str, django: str) -> bool:
        return database in self.databases and (not self.django or django in self.django)

    def covers(self, difference: Difference) -> bool:
        return self.test == difference.test and difference.mode in self.modes


def load(database: str, django: str, path: Path = FILE) -> list[Accepted]:
    """The entries for ``database`` and the feature release ``django``, such as "6.1"."""
    entries = [
        _entry(values)
        for values in tomllib.loads(path.read_text(encoding="utf-8")).get("accepted", [])
    ]
    if len(entries) > MOST:
        raise AcceptedError(
            f"{path.name} has {len(entries)} entries and may have {MOST}: mend some differences"
        )
    return [entry for entry in entries if entry.applies(database, django)]


def _entry(values: dict[str, Any]) -> Accepted:
    if not values.get("test") or not values.get("reason"):
        raise AcceptedError(
            f"each entry needs a test and a reason, and this one lacks one: {values}"
        )
    if unknown := values.keys() - Accepted.__dataclass_fields__.keys():
        raise AcceptedError(f"unknown keys for {values['test']}: {', '.join(sorted(unknown))}")
    return Accepted(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    )


def stale(entries: Sequence[Accepted], runs: Sequence[ModeRun]) -> list[str]:
    """Entries whose test ran and passed in every mode that they name. One sentence each."""
    return [
        f"{entry.test} passes in ({'), ('.join(entry.modes)})"
        for entry in entries
        if _is_stale(entry, runs)
    ]


def _is_stale(entry: Accepted, runs: Sequence[ModeRun]) -> bool:
    outcomes = [
        run.tests[entry.test].outcome
        for run in runs
        if run.mode in entry.modes and entry.test in run.tests
    ]
    return len(outcomes) == len(entry.modes) and all(outcome in GOOD for outcome in outcomes)
