"""Samples where one contender's CPU time goes, while its tasks repeat an operation.

The kernel's profiling timer interrupts after so much CPU time: waiting counts nothing, and nothing
is slowed down as it is under cProfile. What C code does is put down to the Python line that called
it. Only the main thread is seen, so contenders with threads can't be profiled.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from benchmarks.contenders import load
from benchmarks.database import Target
from benchmarks.harness import loop_factory, read_spec
from benchmarks.worker import Sample, measure, measure_sync

INTERVAL = 0.001  # of CPU time; kernels round it up to their tick, often 4 ms

LIBRARIES = ("django", "psycopg", "sqlalchemy", "tortoise", "asyncpg", "asgiref")

# What a frame counts as, the innermost that has a rule: part of the path, function ("" for any).
RULES = [
    ("Building the query set", "django/db/models/query.py", "aget get filter _filter_or_exclude"),
    ("Building the query set", "django/db/models/sql/query.py", ""),
    ("Building the query set", "django/db/models/manager.py", ""),
    ("Building the query set", "django/db/models/query_utils.py", ""),
    ("Building the query set", "django/db/models/lookups.py", "__init__ get_prep_lookup"),
    ("Building the query set", "django/db/models/query.py", "_chain _clone __init__ get_queryset"),
    ("Compiling SQL", "django/db/models/sql/compiler.py", "execute_sql"),
    ("Making instances", "django/db/models/sql/compiler.py", "results_iter cursor_iter"),
    ("Compiling SQL", "django/db/models/sql/", ""),
    ("Compiling SQL", "django/db/models/lookups.py", ""),
    ("Compiling SQL", "django/db/models/expressions.py", ""),
    ("Compiling SQL", "django/db/models/fields/", "as_sql get_db_prep_value get_prep_value"),
    ("Compiling SQL", "django/db/backends/postgresql/operations.py", ""),
    ("Making instances", "django/db/models/base.py", ""),
    ("Making instances", "django/db/models/query.py", "__iter__ _fetch_all"),
    ("Building the query set", "django/db/models/", ""),
    ("Django's connection and cursor", "django/db/", ""),
    ("Django's connection and cursor", "django/utils/asyncio.py", ""),
    ("Django's connection and cursor", "django/utils/connection.py", ""),
    ("Leasing a connection", "django_loom/db/pool", ""),
    ("Leasing a connection", "django_loom/db/holders.py", ""),
    ("Leasing a connection", "django_loom/db/storage.py", ""),
    ("Leasing a connection", "django_loom/db/registry.py", ""),
    ("Waiting on the socket, libpq", "django_loom/db/postgresql/", ""),
    ("Waiting on the socket, libpq", "psycopg/waiting.py", ""),
    ("Waiting on the socket, libpq", "psycopg/connection.py", "wait"),
    ("Our connection and cursor", "django_loom/db/", ""),
    ("The bridge", "django_loom/bridge/", ""),
    ("The bridge", "django_loom/reroute.py", ""),
    ("psycopg", "psycopg/", ""),
    ("The event loop", "asyncio/", ""),
    ("The event loop", "selectors.py", ""),
    ("The benchmark itself", "benchmarks/", ""),
]


def short(code: CodeType) -> str:
    """`package/module.py`, whatever the installation's path."""
    parts = Path(code.co_filename).parts
    for marker in ("site-packages", "src", f"python3.{sys.version_info.minor}"):
        if marker in parts:
            return "/".join(parts[len(parts) - parts[::-1].index(marker) :])
    return "/".join(parts[-3:])


class Sampler:
    def __init__(self) -> None:
        self.parts: Counter[str] = Counter()
        self.inclusive: Counter[str] = Counter()
        self.lines: Counter[str] = Counter()
        self.rules: dict[CodeType, str | None] = {}
        self.names: dict[CodeType, str] = {}

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self.sample)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def sample(self, signum: int, frame: FrameType | None) -> None:
        if frame is None:
            return
        self.lines[f"{self.name(frame.f_code)}:{frame.f_lineno}"] += 1
        part, seen = None, set()
        while frame is not None:
            part = part or self.part(frame.f_code)
            seen.add(self.name(frame.f_code))
            frame = frame.f_back
        self.parts[part or "Other"] += 1
        self.inclusive.update(name for name in seen if name.startswith(LIBRARIES))

    def name(self, code: CodeType) -> str:
        if code not in self.names:
            self.names[code] = f"{short(code)} {code.co_qualname}"
        return self.names[code]

    def part(self, code: CodeType) -> str | None:
        if code not in self.rules:
            self.rules[code] = _part(short(code), code.co_name)
        return self.rules[code]


def _part(path: str, function: str) -> str | None:
    for part, where, functions in RULES:
        if where in path and (not functions or function in functions.split()):
            return part
    return None


async def profile(spec: dict[str, Any], sampler: Sampler) -> tuple[Sample, Sample]:
    """The cost without the sampler, then the shares with it."""
    contender = load(spec["contender"])
    await contender.open(Target(**spec["target"]), spec["connections"])
    operation, tasks, seconds = spec["operation"], spec["tasks"], spec["seconds"]
    plain = await measure(contender, operation, tasks, seconds / 4)
    sampler.start()
    sampled = await measure(contender, operation, tasks, seconds)
    sampler.stop()
    await contender.close()
    return plain, sampled


def profile_sync(spec: dict[str, Any], sampler: Sampler) -> tuple[Sample, Sample]:
    contender = load(spec["contender"])
    asyncio.run(contender.open(Target(**spec["target"]), spec["connections"]))
    plain = measure_sync(contender, spec["operation"], spec["seconds"] / 4)
    sampler.start()
    sampled = measure_sync(contender, spec["operation"], spec["seconds"])
    sampler.stop()
    return plain, sampled


def main() -> None:
    spec, sampler = read_spec(), Sampler()
    if load(spec["contender"]).synchronous:
        plain, sampled = profile_sync(spec, sampler)
    else:
        with asyncio.Runner(loop_factory=loop_factory(spec["loop"])) as runner:
            plain, sampled = runner.run(profile(spec, sampler))
    cost = plain.cpu / plain.operations * 1e6
    total = sum(sampler.parts.values())
    found = {
        key: {name: count / total * cost for name, count in counter.most_common(limit)}
        for key, counter, limit in (
            ("parts", sampler.parts, None),
            ("inclusive", sampler.inclusive, 80),
            ("lines", sampler.lines, 60),
        )
    }
    slowed = sampled.cpu / sampled.operations * 1e6
    json.dump(
        {"cpu_us": cost, "cpu_us_while_sampled": slowed, "samples": total, **found}, sys.stdout
    )


if __name__ == "__main__":
    main()
