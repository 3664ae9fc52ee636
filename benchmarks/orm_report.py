"""Medians, ratios, goals and tables of the ORM benchmark. Losing rows stay in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.contenders import CONTENDERS, OPERATIONS
from benchmarks.harness import conditions, markdown

Median = dict[str, Any]
OURS, STOCK, SYNC = "ours", "stock", "stock-sync"
IDEAL_SLEEPS = 400  # 20 tasks, each a query of 50 ms


def medians(samples: list[dict[str, Any]]) -> list[Median]:
    groups: dict[tuple[float, str, str], list[dict[str, Any]]] = defaultdict(list)
    for sample in samples:
        groups[sample["latency_ms"], sample["operation"], sample["contender"]].append(sample)
    return [
        {"latency_ms": latency, "operation": operation, "contender": contender, **_middle(group)}
        for (latency, operation, contender), group in groups.items()
    ]


def _middle(group: list[dict[str, Any]]) -> dict[str, float]:
    cpu = [sample["cpu"] / sample["operations"] * 1e6 for sample in group]
    return {
        "per_second": median(sample["operations"] / sample["seconds"] for sample in group),
        "cpu_us": median(cpu),
        "cpu_us_min": min(cpu),
        "cpu_us_max": max(cpu),
        "per_cpu_second": 1e6 / median(cpu),
    }


class Figures:
    """The medians by name."""

    def __init__(self, found: list[Median]) -> None:
        self.by_name = {(m["latency_ms"], m["operation"], m["contender"]): m for m in found}
        self.latencies = sorted({m["latency_ms"] for m in found})

    def contenders(self, latency: float) -> list[str]:
        return [c for c in CONTENDERS if any(k[0] == latency and k[2] == c for k in self.by_name)]

    def operations(self, latency: float) -> list[str]:
        return [o for o in OPERATIONS if any(k[0] == latency and k[1] == o for k in self.by_name)]

    def value(self, latency: float, operation: str, contender: str, key: str) -> float | None:
        found = self.by_name.get((latency, operation, contender))
        return float(found[key]) if found else None

    def ratio(self, latency: float, operation: str, key: str, one: str, two: str) -> float | None:
        first = self.value(latency, operation, one, key)
        second = self.value(latency, operation, two, key)
        return first / second if first is not None and second else None


@dataclass
class Goal:
    text: str
    required: str
    measured: float
    met: bool


def goals(found: list[Median]) -> list[Goal]:
    """The bars that the project has set itself, without added latency."""
    figures = Figures(found)
    per_cpu = [
        ("stock", 1.4),
        ("stock", 2.0),
        ("stock-request", 1.4),
        ("stock-tree", 1.4),
        ("sqlalchemy-psycopg", 1.1),
        ("sqlalchemy-psycopg-auto", 1.1),
        ("sqlalchemy-asyncpg", 1.0),
        ("sqlalchemy-asyncpg-auto", 1.0),
    ]
    checked = [
        _goal(
            f"get: operations per CPU second, ours / {rival}",
            figures.ratio(0, "get", "per_cpu_second", OURS, rival),
            least,
        )
        for rival, least in per_cpu
    ]
    sync = figures.ratio(0, "get", "cpu_us", OURS, SYNC)
    checked.append(_goal("get: CPU per call, ours / stock-sync", sync, 1.2, at_most=True))
    sleeps = figures.value(0, "sleep", OURS, "per_second")
    share = sleeps / IDEAL_SLEEPS if sleeps else None
    checked.append(_goal("sleep: share of the ideal 400/s", share, 0.9))
    return [goal for goal in checked if goal]


def _goal(text: str, measured: float | None, bar: float, *, at_most: bool = False) -> Goal | None:
    if measured is None:
        return None
    met = measured <= bar if at_most else measured >= bar
    return Goal(text, f"{'≤' if at_most else '≥'} {bar:g}", round(measured, 3), met)


def text(result: dict[str, Any]) -> str:
    """All tables, as Markdown."""
    figures = Figures(result["medians"])
    taking_part = [f"- {name}: {entry.about}" for name, entry in CONTENDERS.items()]
    parts = [conditions(result), "\n".join(taking_part)]
    for latency in figures.latencies:
        title = f"{latency:g} ms added per round trip" if latency else "No added latency"
        parts += [
            f"### {title}",
            "Operations per second:",
            matrix(figures, latency, "per_second", _count),
            "CPU µs per operation:",
            matrix(figures, latency, "cpu_us", _count),
            "Operations per CPU second, as a multiple of stock's:",
            matrix(figures, latency, "per_cpu_second", _times, base=STOCK),
            "Ours against each, operations per CPU second (below 1: we lose):",
            matrix(figures, latency, "per_cpu_second", _times, base=OURS, inverse=True),
        ]
    checked = [(g["text"], g["required"], g["measured"], _met(g)) for g in result["goals"]]
    if checked:
        parts += ["### Goals", markdown(["goal", "required", "measured", "met"], checked)]
    parts += [f"Not run: {name}: {reason}" for name, reason in result["failures"].items()]
    return "\n\n".join(parts)


def matrix(
    figures: Figures,
    latency: float,
    key: str,
    show: Callable[[float | None], str],
    *,
    base: str | None = None,
    inverse: bool = False,
) -> str:
    """Contenders by operations; with `base`, as multiples of it, or it as a multiple of them."""
    operations = figures.operations(latency)

    def cell(operation: str, contender: str) -> float | None:
        if base is None:
            return figures.value(latency, operation, contender, key)
        one, two = (base, contender) if inverse else (contender, base)
        return figures.ratio(latency, operation, key, one, two)

    rows = [
        [contender, *(show(cell(operation, contender)) for operation in operations)]
        for contender in figures.contenders(latency)
    ]
    return markdown(["", *operations], rows)


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _met(goal: dict[str, Any]) -> str:
    return "yes" if goal["met"] else "**no**"
