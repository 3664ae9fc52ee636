"""The experiments of the lab that the page offers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """An experiment that can be chosen; ``name`` is what the lab calls it."""

    name: str
    title: str
    summary: str


CHOICES = {
    choice.name: choice
    for choice in (
        Choice(
            "concurrency",
            "More and more clients",
            "five servers whose requests wait 0.1 s. About half a minute.",
        ),
        Choice(
            "fan-out",
            "A page from many services",
            "asked one after another, awaited one by one, and gathered. About half a minute.",
        ),
        Choice(
            "blocking",
            "One blocking call",
            "what it does to an async server. About half a minute.",
        ),
    )
}
