"""What a task does until it is cancelled: one of these after the other."""

from __future__ import annotations

from benchmarks.fuzz import endings, sessions, streams, threads, unit_values, worker, writes
from benchmarks.fuzz.worker import Operation

OPERATIONS: list[Operation] = [
    *worker.OPERATIONS,
    *writes.OPERATIONS,
    *threads.OPERATIONS,
    *unit_values.OPERATIONS,
    *sessions.OPERATIONS,
    *endings.OPERATIONS,
    *streams.OPERATIONS,
]
