"""The figures of one load as ab prints them, by ab's definitions."""

from __future__ import annotations

from urllib.parse import urlsplit

from .model import time_across_all, time_per_request
from .plan import LoadPlan
from .results import LoadResult


def ab_lines(plan: LoadPlan, result: LoadResult) -> list[str]:
    """ab's fields that this generator knows.

    As ab does, it takes every answer for a complete request and reckons with all of them: requests
    per second is answers / wall, time per request clients * wall / answers, and across all
    concurrent requests wall / answers. What is not 2xx has a line of its own.
    """
    url = urlsplit(plan.url)
    answers = sum(result.statuses.values())
    others = answers - result.requests
    failed = sum(result.errors.values())
    rate = answers / result.seconds
    fields = [
        ("Server Hostname:", url.hostname),
        ("Server Port:", url.port or 80),
        ("Document Path:", url.path or "/"),
        ("Concurrency Level:", plan.clients),
        ("Time taken for tests:", f"{result.seconds:.3f} seconds"),
        ("Complete requests:", answers),
        ("Failed requests:", failed),
        *([("Non-2xx responses:", others)] if others else []),
        *([("Keep-Alive requests:", answers)] if plan.keep_alive else []),
        ("Total transferred:", f"{result.bytes} bytes"),
        ("Requests per second:", f"{rate:.2f} [#/sec] (mean)"),
    ]
    if answers:
        fields += [
            ("Time per request:", f"{time_per_request(rate, plan.clients):.3f} [ms] (mean)"),
            (
                "Time per request:",
                f"{time_across_all(rate):.3f} [ms] (mean, across all concurrent requests)",
            ),
        ]
    lines = [f"{name:<24}{value}" for name, value in fields]
    if result.latency is None:
        return lines
    served = (50, 90, 95, 99)
    percentiles = [f"{each:>4}% {getattr(result.latency, f'p{each}'):>7.0f}" for each in served]
    longest = f"{100:>4}% {result.latency.max:>7.0f} (longest request)"
    heading = "Percentage of the requests served within a certain time (ms)"
    return [*lines, "", heading, *percentiles, longest]
