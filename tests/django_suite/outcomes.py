"""What became of a test, and how several reports about one test become one."""

from dataclasses import dataclass

PASSED = "passed"
EXPECTED_FAILURE = "expected failure"
SKIPPED = "skipped"
FAILED = "failed"
ERROR = "error"
UNEXPECTED_SUCCESS = "unexpected success"
CRASHED = "crashed"
HUNG = "hung"
LOST = "lost"

GOOD = frozenset({PASSED, EXPECTED_FAILURE})
BAD = frozenset({FAILED, ERROR, UNEXPECTED_SUCCESS, CRASHED, HUNG, LOST})

# A test can be reported more than once: by each failing subtest, and again when its teardown fails.
_SEVERITY = (
    PASSED,
    EXPECTED_FAILURE,
    SKIPPED,
    UNEXPECTED_SUCCESS,
    LOST,
    FAILED,
    ERROR,
    CRASHED,
    HUNG,
)


@dataclass
class TestRecord:
    """The final outcome of one test."""

    __test__ = False  # not a test, for pytest

    outcome: str
    detail: str = ""
    seconds: float = 0.0

    def absorb(self, other: "TestRecord") -> None:
        """Keep the worse of two reports about the same test."""
        if _SEVERITY.index(other.outcome) > _SEVERITY.index(self.outcome):
            self.outcome, self.detail = other.outcome, other.detail
        self.seconds = max(self.seconds, other.seconds)
