"""How a service behaves: its delay and its failures, which the site's visitors set."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass

MAX_DELAY = 5000


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A service's delay, and how often it fails.

    :param delay: milliseconds before each answer, up to ``MAX_DELAY``.
    :param failures: answers of a hundred that are a failure.
    """

    delay: int = 150
    failures: int = 0

    def __post_init__(self) -> None:
        """Check each value.

        :raises ValueError: one is not a whole number, or out of range.
        """
        for name, maximum in (("delay", MAX_DELAY), ("failures", 100)):
            value = getattr(self, name)
            if type(value) is not int or not 0 <= value <= maximum:
                raise ValueError(f"{name} must be a whole number of 0 to {maximum}, not {value!r}")

    def fails(self) -> bool:
        """Tell if the next answer is a failure."""
        return random.random() * 100 < self.failures

    def as_json(self) -> dict[str, int]:
        """Return what :func:`from_json` reads."""
        return asdict(self)


def from_json(data: object) -> Behaviour:
    """Return the behaviour that a client has sent.

    :raises ValueError: it is none.
    """
    if not isinstance(data, dict) or not data.keys() <= {"delay", "failures"}:
        raise ValueError('expected {"delay": milliseconds, "failures": percent}')
    return Behaviour(**data)
