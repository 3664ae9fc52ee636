"""What a run shows, in sentences made from its figures."""

from __future__ import annotations

from .load import AT_ONCE, Load, Run
from .work import WAIT_SECONDS, WAITS


def findings(run: Run, threads: int) -> list[str]:
    """Compare the loads with each other, and with what their waits alone would allow.

    :param run: of a sync, a serial and a gathered view, in this order.
    :param threads: that synchronous views have.
    """
    sync, serial, gathered = run.loads
    one = WAITS * WAIT_SECONDS
    return [
        _compared(gathered, "gathered", sync, "sync"),
        _compared(serial, "serial", sync, "sync"),
        f"If nothing but the waits took time, sync could give {threads / one:,.0f}/s ({threads}"
        f" threads, {one * 1000:g} ms each), serial {AT_ONCE / one:,.0f}/s and gathered"
        f" {AT_ONCE / WAIT_SECONDS:,.0f}/s. The rest is processor time: the site, and what sends"
        " these requests, are one process, whose Python code runs on one core.",
        *_failures(run),
    ]


def _compared(load: Load, name: str, other: Load, others: str) -> str:
    if not load.per_second or not other.per_second:
        return f"The {name} and the {others} view can't be compared: one gave no good answer."
    ratio = load.per_second / other.per_second
    return (
        f"The {name} view gave {ratio:.1f} times the requests per second of the {others} view:"
        f" {load.per_second:,.0f}/s against {other.per_second:,.0f}/s."
    )


def _failures(run: Run) -> list[str]:
    failed = sum(load.failures for load in run.loads)
    return [f"{failed} requests got no good answer; they are drawn in red."] if failed else []
