"""Which modules are changed, and which tests are asked about each."""

from __future__ import annotations

import random
from dataclasses import dataclass
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path

from .operators import Mutant, mutants

PACKAGE = Path("src", "django_loom")

# One kind of loop is enough: what differs between them is seldom on these lines. And 10,000 calls
# take longer than all other tests of the bridge.
CHOICE = "not uvloop and not eager and not 0_000"

BLOCKS = (
    "test_atomic test_shared_blocks test_left_blocks test_cancelled_turns test_shared_cursors "
    "test_open_transactions test_savepoints test_collected_blocks test_pinned_blocks test_cursors "
    "test_blocks_of_frames"
)
LEASES = (
    "test_concurrency test_cursors test_unit_connections test_session_reset test_pinned_blocks "
    "test_cancellation test_aiterator test_waiting_threads test_unit_jobs"
)
POOL = (
    "test_pool test_pool_races test_pool_ages test_pool_closing test_pool_garbage test_pool_holders"
)

BODY = "test_body test_body_limits test_body_stream test_disconnects test_form_after_answer"
HANDLER = "test_handler test_handler_threads test_requests test_cancellation test_request_units"

# The first line that fits; the tests that most probably fail come first. Of tests that wait for
# what never comes, few are asked: their times are what a mutant costs.
TABLE: list[tuple[str, str, str]] = [
    ("bridge/*", "bridge", ""),
    ("db/pool*", "db", POOL),
    ("db/*_leases", "db", LEASES),
    ("db/resetting", "db", "test_session_reset test_driver_state test_unit_connections"),
    ("db/function_blocks", "db", "test_functions_in_blocks test_left_functions"),
    ("db/open_blocks", "db", BLOCKS + " test_waiting_thread_blocks"),
    ("db/transaction", "db", BLOCKS + " test_on_commit test_cancellation test_misuse"),
    ("db/scopes", "db", BLOCKS),
    ("db/turns", "db", BLOCKS),
    ("db/blocks", "db", BLOCKS),
    ("db/sharing", "db", BLOCKS),
    (
        "http/body",
        "http",
        "test_body test_body_limits test_body_stream test_disconnects test_form_after_answer",
    ),
    (
        "http/handler",
        "http",
        "test_handler test_handler_threads test_requests test_cancellation test_request_units",
    ),
    ("http/stream_flow", "http", "test_stream_flows test_streams test_stream_database"),
    ("http/channel", "http", "test_stream_flows test_streams"),
    ("http/release", "http", "test_release test_request_holders"),
]
MODULES = [
    "bridge/*",
    *(f"db/{name}" for name in ("pools", "pool_state", "pool_queue", "pool_slots", "scopes")),
    *(f"db/{name}" for name in ("turns", "blocks", "sharing", "open_blocks", "function_blocks")),
    *(f"db/{name}" for name in ("transaction", "resetting", "taken_leases", "present_leases")),
    "db/returned_leases",
    *(f"http/{name}" for name in ("body", "handler", "stream_flow", "channel", "release")),
]


@dataclass(frozen=True)
class Job:
    """A mutant, and the tests to ask."""

    module: str
    mutant: Mutant
    tests: tuple[str, ...]

    @property
    def key(self) -> str:
        """The same for the same change of the same text."""
        return sha256(f"{self.module}\n{self.mutant.source}".encode()).hexdigest()[:16]

    def __str__(self) -> str:
        mutant = self.mutant
        before = mutant.before if len(mutant.before) < 90 else mutant.before[:87] + "..."
        return f"{self.module}.py:{mutant.line}: {before}  →  {mutant.after}"


def jobs(root: Path, patterns: list[str], limit: int | None, seed: int) -> list[Job]:
    """All mutants of the modules, or as many as the limit says, chosen by the seed."""
    found = [
        Job(module, mutant, chosen_tests(module))
        for module in modules(root, patterns)
        for mutant in mutants((root / PACKAGE / f"{module}.py").read_text())
    ]
    if limit is None or limit >= len(found):
        return found
    chosen = random.Random(seed).sample(range(len(found)), limit)
    return [found[place] for place in sorted(chosen)]


def modules(root: Path, patterns: list[str]) -> list[str]:
    package = root / PACKAGE
    names = sorted(
        path.relative_to(package).with_suffix("").as_posix() for path in package.rglob("*.py")
    )
    return [name for name in names if any(fnmatch(name, pattern) for pattern in patterns)]


def chosen_tests(module: str) -> tuple[str, ...]:
    for pattern, folder, names in TABLE:
        if fnmatch(module, pattern):
            return tuple(f"tests/{folder}/{name}.py" for name in names.split()) or (
                f"tests/{folder}",
            )
    raise LookupError(f"TABLE names no tests for {module}")
