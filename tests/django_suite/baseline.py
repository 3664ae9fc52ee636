"""The outcomes on the stock engine, with which the others are compared.

A baseline is stored for each Django, Python and database, and is made once. Where mode (a) was not
asked for, the stock engine runs only what did not pass on ours, which is cheaper still.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .compare import within
from .events import fixture_scope
from .outcomes import GOOD, TestRecord
from .suite import ModeRun


@dataclass
class Baseline:
    """Stored outcomes of whole packages."""

    packages: set[str] = field(default_factory=set)
    tests: dict[str, TestRecord] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> "Baseline":
        if not path.exists():
            return cls()
        values = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            set(values["packages"]),
            {test: TestRecord(**record) for test, record in values["tests"].items()},
        )

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        values = {
            "packages": sorted(self.packages),
            "tests": {test: asdict(record) for test, record in sorted(self.tests.items())},
        }
        path.write_text(json.dumps(values, indent=0), encoding="utf-8")

    def replace(self, packages: Iterable[str], run: ModeRun) -> None:
        """Take the outcomes of ``packages`` from ``run``."""
        for test in self.restricted_to(packages):
            del self.tests[test]
        self.packages.update(packages)
        self.tests |= run.tests

    def restricted_to(self, labels: Iterable[str]) -> dict[str, TestRecord]:
        return within(labels, self.tests)


def worth_a_second_look(runs: Iterable[ModeRun]) -> set[str]:
    """What the stock engine must be asked about: tests, or classes whose fixtures failed."""
    return {
        fixture_scope(test) or test
        for run in runs
        for test, record in run.tests.items()
        if record.outcome not in GOOD and "." in test
    }
