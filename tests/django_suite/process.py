"""Runs one chunk: in one child or, after a crash or a hang, in as many as it takes."""

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from .child import Child, Limits
from .child_config import ChildConfig
from .chunks import Chunk
from .events import ChunkLog, EventLog
from .outcomes import TestRecord

MAX_ATTEMPTS = 40
TAIL = 6_000


@dataclass
class ChunkResult:
    """What became of a chunk's tests, and what its child has counted."""

    records: dict[str, TestRecord]
    counts: Counter[str] = field(default_factory=Counter)

    def __or__(self, other: "ChunkResult") -> "ChunkResult":
        return ChunkResult(self.records | other.records, self.counts + other.counts)


@dataclass
class ChunkProcess:
    """A chunk with all that its children need."""

    chunk: Chunk
    config: ChildConfig
    tests: Path
    output: Path
    limits: Limits

    def run(self) -> ChunkResult:
        """Run the chunk to its end, with a record for each of its tests."""
        for path in (self.config.events, self.output):
            path.unlink(missing_ok=True)
        for _ in range(MAX_ATTEMPTS):
            how = self._child().run()
            log = ChunkLog.read(self.config.events)
            if log.ended or self.limits.passed():
                break
            if not log.ready:
                return self._divided() if len(self.chunk.labels) > 1 else self._dead(log, how)
            if (culprits := blame(log)) is None:
                teardown = {f"teardown of {self.chunk.name}": self._record(how)}
                return ChunkResult(log.settled() | teardown, log.counts)
            self._mark(culprits, how)
        log = ChunkLog.read(self.config.events)
        return ChunkResult(log.settled(), log.counts)

    def _child(self) -> Child:
        return Child(self.chunk.labels, self.config, self.tests, self.output, self.limits)

    def _divided(self) -> ChunkResult:
        """One label keeps all from being set up: give each of them a child of its own."""
        result = ChunkResult({})
        for label in self.chunk.labels:
            result |= self._part(label).run()
        return result

    def _part(self, label: str) -> "ChunkProcess":
        only = [test for test in self.chunk.only if test.startswith(label + ".")]
        events = self.config.events.with_name(f"{self.config.mode}-{label}.events")
        return replace(
            self,
            chunk=replace(self.chunk, labels=[label], only=only),
            config=replace(self.config, only=only, events=events),
            output=self.output.with_name(f"{self.config.mode}-{label}.log"),
        )

    def _dead(self, log: ChunkLog, how: str) -> ChunkResult:
        tests = log.planned or [f"setup of {self.chunk.name}"]
        return ChunkResult({test: self._record(how) for test in tests})

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
