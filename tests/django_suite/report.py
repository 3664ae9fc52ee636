"""What the command prints, and the summary that it writes for the documentation."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .accepted import Accepted, stale
from .compare import Difference
from .modes import MODES
from .outcomes import (
    CRASHED,
    ERROR,
    EXPECTED_FAILURE,
    FAILED,
    HUNG,
    LOST,
    PASSED,
    SKIPPED,
    UNEXPECTED_SUCCESS,
)
from .suite import ModeRun

# Each column with the outcomes that it counts.
COLUMNS = {
    "passed": (PASSED, EXPECTED_FAILURE),
    "failed": (FAILED, UNEXPECTED_SUCCESS),
    "errors": (ERROR,),
    "hung": (HUNG, CRASHED, LOST),
    "skipped": (SKIPPED,),
}
# What children count: proof that tests waited on a loop, that our handler answered, that views
# ran in its threads.
PROOFS = ("loop turns", "requests", "in threads")
# Beyond these the rest stands in the summary file only.
DETAIL_LINES = 12
DETAILED = 15


@dataclass
class Report:
    """The result of one command."""

    database: str
    jobs: int
    runs: list[ModeRun] = field(default_factory=list)
    unexpected: list[Difference] = field(default_factory=list)
    accepted: list[Difference] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.unexpected and not self.stale

    def sort_out(self, entries: Sequence[Accepted]) -> None:
        """Tell the differences that are meant from the others, and find entries without use."""
        found, self.unexpected = self.unexpected, []
        for difference in found:
            known = any(entry.covers(difference) for entry in entries)
            (self.accepted if known else self.unexpected).append(difference)
        self.stale = stale(entries, self.runs)

    def text(self) -> str:
        parts = [self._table(), *(_describe(each) for each in self.unexpected[:DETAILED])]
        parts += [_head(each) for each in self.unexpected[DETAILED:]]
        parts += [f"stale entry in accepted.toml: {sentence}" for sentence in self.stale]
        parts.append(
            f"{len(self.unexpected)} differences from the stock engine, "
            f"{len(self.accepted)} accepted ones, {len(self.stale)} stale entries"
        )
        return "\n".join(parts)

    def _table(self) -> str:
        rows = [("", "tests", *COLUMNS, "seconds", *PROOFS)]
        rows += [
            (_title(run), *(str(number) for number in _figures(run).values())) for run in self.runs
        ]
        return _aligned(rows)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        values = {
            "date": datetime.now(UTC).date().isoformat(),
            "database": self.database,
            "jobs": self.jobs,
            "machine": {"processors": os.cpu_count(), "system": platform.platform()},
            "versions": _versions(),
            "modes": {run.mode: _figures(run) for run in self.runs},
            "differences": [asdict(difference) for difference in self.unexpected],
            "accepted": [asdict(difference) for difference in self.accepted],
        }
        path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _figures(run: ModeRun) -> dict[str, float]:
    counts = {name: run.count(*outcomes) for name, outcomes in COLUMNS.items()}
    proofs = {name: run.counts[name] for name in PROOFS}
    return {"tests": len(run.tests), **counts, "seconds": run.seconds, **proofs}


def _title(run: ModeRun) -> str:
    return f"({run.mode}) {MODES[run.mode].title}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in rows
    )


def _describe(difference: Difference) -> str:
    lines = difference.detail.strip().splitlines()[-DETAIL_LINES:]
    return "\n".join([_head(difference), *(f"      {line}" for line in lines)])


def _head(difference: Difference) -> str:
    return f"({difference.mode}) {difference.outcome}, in (a) {difference.stock}: {difference.test}"


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("django", "psycopg", "greenlet", "asgiref"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
