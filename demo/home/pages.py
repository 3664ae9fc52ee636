"""The page as its template shows it: what came, what is missing, and the timing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .answers import Answer, Budget


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the three ways to ask."""

    name: str
    title: str
    explanation: str
    code: str

    @property
    def url_name(self) -> str:
        """The name of its address."""
        return f"home:{self.name}"


SYNC = Variant(
    "sync",
    "Synchronous",
    "A plain synchronous view in a thread. Each question waits for the answer to the one before.",
    "[ask_sync(client, part) for part in PARTS]",
)
SERIAL = Variant(
    "serial",
    "Awaited one by one",
    "An async view, so no thread waits. But each question still waits for the one before: "
    "async alone makes no page faster.",
    "[await ask(client, part) for part in PARTS]",
)
GATHERED = Variant(
    "index",
    "Gathered",
    "An async view that asks all questions at once. The page takes as long as the slowest of them.",
    "await asyncio.gather(*(ask(client, part) for part in PARTS))",
)
VARIANTS = [SYNC, SERIAL, GATHERED]


@dataclass(frozen=True, slots=True)
class Bar:
    """A line of the waterfall; where it lies is in percent of the page's deadline."""

    label: str
    service: str
    start: str
    width: str
    began: str
    took: str
    missing: bool


@dataclass(frozen=True, slots=True)
class Page:
    """All that the template asks for."""

    variant: Variant
    answers: Sequence[Answer]
    took: float
    deadline: float

    @property
    def bars(self) -> list[Bar]:
        """The waterfall, a line for each question."""
        return [self._bar(answer) for answer in self.answers]

    @property
    def problems(self) -> list[str]:
        """A sentence for each part that is missing."""
        return [
            f"{answer.part.title}: the service “{answer.part.service}” {answer.problem}."
            for answer in self.answers
            if answer.problem
        ]

    @property
    def status(self) -> str:
        """What a screen reader says when the page has come."""
        missing = f"{len(self.problems)} of {len(self.answers)} answers are missing"
        return (
            f"{self.variant.title}: {self.took_milliseconds} milliseconds; "
            f"{missing if self.problems else 'nothing is missing'}."
        )

    @property
    def took_milliseconds(self) -> str:
        """How long all questions took together."""
        return _milliseconds(self.took)

    @property
    def deadline_milliseconds(self) -> str:
        """How long they may take."""
        return _milliseconds(self.deadline)

    @property
    def ticks(self) -> list[str]:
        """The numbers along the waterfall's axis, in milliseconds."""
        return [_milliseconds(self.deadline * quarter / 4) for quarter in range(5)]

    @property
    def took_width(self) -> str:
        """The length of the whole, as that of a bar."""
        return self._percent(self.took)

    def _bar(self, answer: Answer) -> Bar:
        length = answer.ended - answer.began
        return Bar(
            label=answer.part.title,
            service=answer.part.service,
            start=self._percent(answer.began),
            width=self._percent(length, least=0.4),
            began=_milliseconds(answer.began),
            took=_milliseconds(length),
            missing=bool(answer.problem),
        )

    def _percent(self, seconds: float, least: float = 0.0) -> str:
        return f"{min(100.0, max(least, 100 * seconds / self.deadline)):.2f}%"


def page(variant: Variant, answers: Sequence[Answer], budget: Budget) -> Page:
    """Return the page that is ready now."""
    return Page(variant, answers, budget.elapsed(), budget.deadline)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.0f}"
