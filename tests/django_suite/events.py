"""The log that a child writes, one JSON object a line, and what the parent reads from it.

The log outlives its writer: after a crash a new process continues the same file, and skips the
tests that already have an outcome in it.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .outcomes import LOST, TestRecord


class EventLog:
    """Appends events to a file. Silent in processes forked from the one that opened it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._owner = os.getpid()

    def write(self, event: str, **fields: Any) -> None:
        if os.getpid() != self._owner:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, **fields}) + "\n")


@dataclass
class ChunkLog:
    """Everything that a log file says."""

    planned: list[str] = field(default_factory=list)
    records: dict[str, TestRecord] = field(default_factory=dict)
    running: str | None = None
    started_in_attempt: int = 0
    ready: bool = False
    ended: bool = False
    counts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def read(cls, path: Path) -> "ChunkLog":
        log = cls()
        for event in _events(path):
            log._apply(event)
        return log

    def _apply(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "plan":
                known = set(self.planned)
                self.planned += [test for test in event["tests"] if test not in known]
                self.running, self.started_in_attempt = None, 0
            case "ready":
                self.ready = True
            case "start":
                self.running = event["test"]
                self.started_in_attempt += 1
            case "stop":
                self.running = None
                if record := self.records.get(event["test"]):
                    record.seconds = event["seconds"]
            case "outcome":
                self._record(event["test"], TestRecord(event["outcome"], event.get("detail", "")))
            case "counts":
                self.counts.update(event["counts"])
            case "end":
                self.ended = True

    def _record(self, test: str, record: TestRecord) -> None:
        if known := self.records.get(test):
            known.absorb(record)
        else:
            self.records[test] = record

    def next_planned(self) -> str | None:
        """The first planned test without an outcome."""
        return next((test for test in self.planned if test not in self.records), None)

    def settled(self) -> dict[str, TestRecord]:
        """A record for every planned test. What befell a fixture befell each of its tests."""
        fixtures = {
            scope: record
            for test, record in self.records.items()
            if (scope := fixture_scope(test)) is not None
        }
        settled = {
            test: record
            for test, record in self.records.items()
            if not test.startswith(("setUpClass", "setUpModule"))
        }
        for test in self.planned:
            if test not in settled:
                settled[test] = _inherited(test, fixtures) or TestRecord(
                    LOST, "no outcome was reported"
                )
        return settled


def fixture_scope(test: str) -> str | None:
    """``pkg.Class`` for unittest's pseudo test "setUpClass (pkg.Class)"; None for a real test."""
    if test.startswith(("setUpClass (", "tearDownClass (", "setUpModule (", "tearDownModule (")):
        return test.partition("(")[2].rstrip(")")
    return None


def _inherited(test: str, fixtures: dict[str, TestRecord]) -> TestRecord | None:
    for scope, record in fixtures.items():
        if test.startswith(scope + "."):
            return TestRecord(record.outcome, record.detail)
    return None


def _events(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            try:
                yield json.loads(line)
            except ValueError:
                continue  # the line that its writer died in
