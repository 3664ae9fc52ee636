"""Runs a list of chunks in one mode, several at a time."""

import queue
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from .child import Limits
from .child_config import ChildConfig
from .chunks import Chunk
from .databases import Databases
from .modes import Mode
from .outcomes import BAD, TestRecord
from .process import ChunkProcess, ChunkResult


@dataclass
class ModeRun:
    """All outcomes of one mode."""

    mode: str
    seconds: float = 0.0
    tests: dict[str, TestRecord] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def count(self, *outcomes: str) -> int:
        return sum(record.outcome in outcomes for record in self.tests.values())


@dataclass
class Suite:
    """Django's tests with what is needed to run them."""

    tests: Path
    logs: Path
    databases: Databases
    limits: Limits
    jobs: int

    def run(self, mode: Mode, chunks: list[Chunk]) -> ModeRun:
        """Run all chunks in ``mode``, the heaviest first: they would keep the end waiting."""
        run, began = ModeRun(mode.letter), time.monotonic()
        slots: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(self.jobs):
            slots.put(slot)

        def run_one(number: int, chunk: Chunk) -> ChunkResult:
            slot, started = slots.get(), time.monotonic()
            try:
                result = self._process(mode, number, chunk, slot).run()
            finally:
                slots.put(slot)
            _progress(mode, chunk, result.records, time.monotonic() - started)
            return result

        for result in self._in_parallel(run_one, chunks):
            run.tests |= result.records
            run.counts += result.counts
        run.seconds = round(time.monotonic() - began, 1)
        return run

    def _in_parallel(
        self, run_one: Callable[[int, Chunk], ChunkResult], chunks: list[Chunk]
    ) -> list[ChunkResult]:
        numbered = sorted(enumerate(chunks), key=lambda pair: -pair[1].weight)
        with ThreadPoolExecutor(self.jobs) as pool:
            try:
                return [
                    future.result() for future in [pool.submit(run_one, *pair) for pair in numbered]
                ]
            except BaseException:
                self.limits.expire()  # or the pool would wait for every chunk's own end
                raise

    def _process(self, mode: Mode, number: int, chunk: Chunk, slot: int) -> ChunkProcess:
        self.logs.mkdir(parents=True, exist_ok=True)
        stem = f"{mode.letter}{number:02}-{chunk.labels[0]}"
        config = ChildConfig(
            mode=mode.letter,
            events=self.logs / f"{stem}.events",
            databases=self.databases.settings(mode, slot),
            only=chunk.only,
        )
        return ChunkProcess(chunk, config, self.tests, self.logs / f"{stem}.log", self.limits)


def _progress(mode: Mode, chunk: Chunk, records: dict[str, TestRecord], seconds: float) -> None:
    bad = sum(record.outcome in BAD for record in records.values())
    print(
        f"  ({mode.letter}) {chunk.name}: {len(records)} tests, {bad} bad, {seconds:.0f} s",
        file=sys.stderr,
        flush=True,
    )
