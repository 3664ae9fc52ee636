"""How the suite is split into processes.

A chunk is a few neighbouring packages. Each costs a start-up and the creation of two databases, so
it should not be small; and not so big that the last one keeps a single processor busy for long.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

TESTS_PER_CHUNK = 900

# Packages whose tests take far longer than others: they must start early, and alone.
SLOW = {"admin_scripts": 10, "admin_views": 3, "auth_tests": 3, "cache": 3}

_TEST = re.compile(r"^\s+(?:async )?def test_", re.MULTILINE)


@dataclass
class Chunk:
    """Labels for one child process. ``only`` restricts it to some of the labels' tests."""

    labels: list[str] = field(default_factory=list)
    only: list[str] = field(default_factory=list)
    weight: int = 0

    @property
    def name(self) -> str:
        first, last = self.labels[0], self.labels[-1]
        return first if first == last else f"{first} … {last}"


def split(labels: Iterable[str], tests: Path, per_chunk: int = TESTS_PER_CHUNK) -> list[Chunk]:
    """Chunks of about ``per_chunk`` tests each. The same labels always give the same chunks."""
    return _fill(
        ((label, [], _weigh(tests / label.split(".")[0])) for label in sorted(labels)), per_chunk
    )


def split_tests(wanted: Iterable[str], per_chunk: int = TESTS_PER_CHUNK) -> list[Chunk]:
    """Chunks that run single tests, or single classes, out of their packages."""
    by_package: dict[str, list[str]] = {}
    for test in sorted(set(wanted)):
        by_package.setdefault(test.split(".")[0], []).append(test)
    return _fill(
        ((package, only, len(only)) for package, only in sorted(by_package.items())), per_chunk
    )


def _fill(parts: Iterable[tuple[str, list[str], int]], per_chunk: int) -> list[Chunk]:
    chunks: list[Chunk] = []
    for label, only, weight in parts:
        if not chunks or chunks[-1].weight + weight > per_chunk:
            chunks.append(Chunk())
        chunks[-1].labels.append(label)
        chunks[-1].only += only
        chunks[-1].weight += weight
    return chunks


def _weigh(package: Path) -> int:
    """About how many tests there are: inherited and generated ones do not show in the source."""
    sources = (path.read_text(encoding="utf-8") for path in package.rglob("*test*.py"))
    return sum(len(_TEST.findall(source)) for source in sources) * SLOW.get(package.name, 1)
