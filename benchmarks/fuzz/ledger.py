"""What the tasks know of their transactions, to be compared with what the tables hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count


@dataclass
class Ledger:
    """Each transaction writes its number into all of its rows."""

    expected: dict[int, int] = field(default_factory=dict)  # rows of each transaction
    committed: set[int] = field(default_factory=set)  # those whose end the task saw
    rolled_back: set[int] = field(default_factory=set)
    operations: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def begin(self, rows: int) -> int:
        """The number of a transaction that is about to begin."""
        number = next(self.numbers)
        self.expected[number] = rows
        return number

    def violated(self, what: str) -> None:
        self.violations.append(what)

    def compare(self, found: Mapping[int, int]) -> None:
        """Each transaction wholly there or not at all, and as its task saw it end."""
        for number, rows in found.items():
            if rows != self.expected.get(number):
                self.violated(
                    f"transaction {number}: {rows} rows of {self.expected.get(number, 'none')}"
                )
        for number in self.committed - found.keys():
            self.violated(f"transaction {number} was committed, and its rows are not there")
        for number in self.rolled_back & found.keys():
            self.violated(f"transaction {number} was rolled back, and has rows")

    @property
    def unknown(self) -> int:
        """Transactions that were cut short, before or after their commit."""
        return len(self.expected) - len(self.committed) - len(self.rolled_back)
