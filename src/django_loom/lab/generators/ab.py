"""The figures of one load as ab prints them, by ab's definitions."""

from __future__ import annotations

from urllib.parse import urlsplit

from django_loom.lab.analysis.model import time_across_all, time_per_request
from django_loom.lab.load.latencies import spread_of
from django_loom.lab.load.plan import LoadPlan
from django_loom.lab.load.results import LoadResult

SERVED = (50, 66, 75, 80, 90, 95, 98, 99)  # percent


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
    received = result.bytes / 1024
    fields = [
        ("Server Software:", result.server),
        ("Server Hostname:", url.hostname),
        ("Server Port:", url.port or 80),
        ("Document Path:", (url.path or "/") + (f"?{url.query}" if url.query else "")),
        ("Document Length:", f"{result.document_bytes} bytes"),
        ("Concurrency Level:", plan.clients),
        ("Time taken for tests:", f"{result.seconds:.3f} seconds"),
        ("Complete requests:", answers),
        ("Failed requests:", failed),
        *([("Non-2xx responses:", others)] if others else []),
        *([("Keep-Alive requests:", answers)] if plan.keep_alive else []),
        ("Total transferred:", f"{result.bytes} bytes"),
        ("HTML transferred:", f"{result.body_bytes} bytes"),
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
    fields.append(("Transfer rate:", f"{received / result.seconds:.2f} [Kbytes/sec] received"))
    lines = [f"{name:<24}{value}" for name, value in fields]
    return [*lines, *time_lines(result)] if result.latency else lines


def time_lines(result: LoadResult) -> list[str]:
    """ab's table of times, of which this generator knows that of a whole request."""
    of = spread_of(result.histogram, SERVED)
    return [
        "",
        "Connection Times (ms)",
        "              min  mean[+/-sd] median   max",
        f"Total:    {of.min:7.0f} {of.mean:5.0f} {of.deviation:6.1f} {of.median:6.0f}"
        f" {of.max:7.0f}",
        "",
        "Percentage of the requests served within a certain time (ms)",
        *(f"{share:>4}% {value:>7.0f}" for share, value in of.percentiles.items()),
        f"{100:>4}% {of.max:>7.0f} (longest request)",
    ]
