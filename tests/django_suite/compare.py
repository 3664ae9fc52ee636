"""Which tests pass on the stock engine and not on ours."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from .outcomes import BAD, GOOD, SKIPPED, TestRecord

ABSENT = TestRecord("absent", "the test did not run")


@dataclass(frozen=True)
class Difference:
    """One test with another outcome than on the stock engine."""

    test: str
    mode: str
    outcome: str
    stock: str
    detail: str


def within(labels: Iterable[str], records: Mapping[str, TestRecord]) -> dict[str, TestRecord]:
    """The records of tests that belong to ``labels``."""
    prefixes = tuple(label + "." for label in labels)
    return {test: record for test, record in records.items() if (test + ".").startswith(prefixes)}


def differences(
    mode: str, ours: dict[str, TestRecord], stock: dict[str, TestRecord]
) -> Iterator[Difference]:
    """Tests that were good there and are not here, and those that only here are bad."""
    for test in sorted(ours.keys() | stock.keys()):
        here, there = ours.get(test, ABSENT), stock.get(test, ABSENT)
        if _is_worse(here, there):
            yield Difference(test, mode, here.outcome, there.outcome, here.detail)


def _is_worse(here: TestRecord, there: TestRecord) -> bool:
    if there.outcome in GOOD:
        return here.outcome not in GOOD
    return here.outcome in BAD and there.outcome in (SKIPPED, ABSENT.outcome)
