"""What the lab can measure, from its catalogue."""

from __future__ import annotations

from django_loom.lab.analysis.metrics import FAILURES, REPEATED
from django_loom.lab.experiments import EXPERIMENTS
from django_loom.lab.servers.catalogue import kind

from .markdown import code, table

UNITS = {"rps": "requests per second", "time_per_request": "milliseconds: clients / rate"}


def text() -> str:
    """Each experiment: its question, what varies, its servers, and what is expected."""
    return "\n\n".join(
        "\n\n".join(
            [
                f"**{each.name}**: {each.question}",
                f"Varies: {each.varies}. Expected: {each.expected}",
                table(
                    ["server", "what it is"],
                    [(code(name), kind(name).label) for name in each.servers],
                ),
            ]
        )
        for each in EXPERIMENTS.values()
    )


def metrics() -> str:
    """The figures that `loom lab assert` knows."""
    rows = [(code(name), UNITS.get(name, "milliseconds")) for name in REPEATED]
    return table(["figure", "unit"], [*rows, (code(FAILURES), "requests, of all repeats")])
