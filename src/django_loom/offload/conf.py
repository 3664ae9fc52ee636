"""What ``LOOM`` says of the threads for work that would block the loop."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from django_loom.conf import is_whole, require, section


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# What must leave the loop, and how many threads it gets: see decision 19.
EXECUTORS: Mapping[str, int] = {
    "files": 32,
    "passwords": _cores() + 1,
    "mail": 4,
    "cancellations": 4,
}


@section
class OffloadSettings:
    """Threads beside those of views."""

    EXECUTORS: dict[str, int] = field(default_factory=dict)
    """Threads for other work that would block the loop, where not as many as by default."""

    def __post_init__(self) -> None:
        """Check the value.

        :raises LoomSettingError: it is of a wrong type, or out of range.
        """
        require(
            self,
            "EXECUTORS",
            _are_executors,
            f"a dictionary of whole numbers of at least 1 for some of {', '.join(EXECUTORS)}",
        )


def _are_executors(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() <= EXECUTORS.keys()
        and all(is_whole(each, 1) for each in value.values())
    )
