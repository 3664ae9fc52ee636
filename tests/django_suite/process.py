"""Runs one chunk: in one child or, after a crash or a hang, in as many as it takes."""

from dataclasses import dataclass, replace
from pathlib import Path

from .child import Child, Limits
from .child_config import ChildConfig
from .chunks import Chunk
from .events import ChunkLog, EventLog
from .outcomes import TestRecord

MAX_ATTEMPTS = 40
TAIL = 6_000


@dataclass
class ChunkProcess:
    """A chunk with all that its children need."""

    chunk: Chunk
    config: ChildConfig
    tests: Path
    output: Path
    limits: Limits

    def run(self) -> dict[str, TestRecord]:
        """Run the chunk to its end, and return a record for each of its tests."""
        for path in (self.config.events, self.output):
            path.unlink(missing_ok=True)
        for _ in range(MAX_ATTEMPTS):
            how = self._child().run()
            log = ChunkLog.read(self.config.events)
            if log.ended or self.limits.passed():
                break
            if not log.ready:
                return self._divided() or self._not_set_up(log, how)
            if (culprits := blame(log)) is None:
                return log.settled() | {f"teardown of {self.chunk.name}": self._record(how)}
            self._mark(culprits, how)
        return ChunkLog.read(self.config.events).settled()

    def _child(self) -> Child:
        return Child(self.chunk.labels, self.config, self.tests, self.output, self.limits)

    def _divided(self) -> dict[str, TestRecord]:
        """One label keeps all from being set up: give each of them a child of its own."""
        records: dict[str, TestRecord] = {}
        if len(self.chunk.labels) > 1:
            for label in self.chunk.labels:
                records |= self._part(label).run()
        return records

    def _part(self, label: str) -> "ChunkProcess":
        only = [test for test in self.chunk.only if test.startswith(label + ".")]
        events = self.config.events.with_name(f"{self.config.mode}-{label}.events")
        return replace(
            self,
            chunk=replace(self.chunk, labels=[label], only=only),
            config=replace(self.config, only=only, events=events),
            output=self.output.with_name(f"{self.config.mode}-{label}.log"),
        )

    def _not_set_up(self, log: ChunkLog, how: str) -> dict[str, TestRecord]:
        tests = log.planned or [f"setup of {self.chunk.name}"]
        return {test: self._record(how) for test in tests}

    def _mark(self, culprits: list[str], how: str) -> None:
        events, detail = EventLog(self.config.events), self._tail()
        for test in culprits:
            events.write("outcome", test=test, outcome=how, detail=detail)

    def _record(self, how: str) -> TestRecord:
        return TestRecord(how, self._tail())

    def _tail(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")[-TAIL:]


def blame(log: ChunkLog) -> list[str] | None:
    """The tests to hold responsible for a child's death, and to leave out of the next attempt."""
    if log.running is not None:
        return [log.running]
    if (test := log.next_planned()) is None:
        return None
    if log.started_in_attempt:
        return [test]
    # Twice in a row no test could start: the fixtures of this class are to blame.
    scope = test.rpartition(".")[0] + "."
    return [each for each in log.planned if each.startswith(scope) and each not in log.records]
