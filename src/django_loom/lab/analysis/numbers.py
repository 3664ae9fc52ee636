"""Figures as a reader wants them: three digits, and an interval where there is one."""

from __future__ import annotations

from django_loom.lab.analysis.statistics import Interval, Ratio

NOTHING = "-"


def rounded(value: float | None) -> str:
    """At least three digits, thousands parted by commas; a dash for None."""
    if value is None:
        return NOTHING
    decimals = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return f"{value:,.{decimals}f}"


def with_interval(value: Interval | None) -> str:
    """The median, and what it lies between if that is known."""
    if value is None:
        return NOTHING
    if value.low is None or value.high is None:
        return rounded(value.median)
    return f"{rounded(value.median)} ({rounded(value.low)} to {rounded(value.high)})"


def times(value: Ratio) -> str:
    """How many times, with what that lies between if it is known."""
    if value.low is None or value.high is None:
        return f"{value.ratio:.3g} times"
    return f"{value.ratio:.3g} times ({value.low:.3g} to {value.high:.3g})"
