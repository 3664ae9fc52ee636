"""What to expect of a server whose requests only wait.

One that can have `at_once` requests under way answers `min(clients, at_once) / wait` a second,
until its processor is busy. By Little's law each request then takes `clients / rate` seconds.
"""

from __future__ import annotations


def expected_rate(at_once: float, clients: int, wait: float) -> float:
    """Requests per second of so many clients at a server whose requests wait so many seconds."""
    return min(clients, at_once) / wait


def time_per_request(rate: float, clients: int) -> float:
    """Milliseconds that a request takes; ab's "time per request", its mean."""
    return 1000 * clients / rate


def time_across_all(rate: float) -> float:
    """Milliseconds from one answer to the next; ab's "across all concurrent requests"."""
    return 1000 / rate
