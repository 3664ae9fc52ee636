"""Latencies come out of the histogram as they went in, to three digits."""

from __future__ import annotations

import pytest

from django_loom.lab.load.latencies import (
    HIGHEST_MICROSECONDS,
    Latencies,
    empty,
    merged,
    summary_of,
)


def test_percentiles_of_a_known_distribution() -> None:
    latencies = Latencies()
    for milliseconds in range(1, 1001):
        latencies.record(milliseconds / 1000)
    found = latencies.summary()
    assert found is not None
    assert found.p50 == pytest.approx(500, rel=0.001)
    assert found.p90 == pytest.approx(900, rel=0.001)
    assert found.p95 == pytest.approx(950, rel=0.001)
    assert found.p99 == pytest.approx(990, rel=0.001)
    assert found.max == pytest.approx(1000, rel=0.001)
    assert found.mean == pytest.approx(500.5, rel=0.001)


def test_the_rounding_is_that_of_the_histogram() -> None:
    latencies, exact = Latencies(), empty()
    for microseconds in [*range(5000), *range(5000, 200_000, 37), 10**6, 12_345_678, 10**9]:
        latencies.record((microseconds + 0.5) / 1e6)
        exact.record_value(microseconds)
    assert summary_of(latencies.encoded()) == summary_of(bytes(exact.encode()).decode())


def test_nothing_recorded_has_no_summary() -> None:
    assert Latencies().summary() is None


def test_a_duration_outside_the_range_counts_at_its_end() -> None:
    latencies = Latencies()
    latencies.record(-0.001)  # a clock's rounding
    latencies.record(10**6)
    found = latencies.summary()
    assert found is not None
    assert found.max == pytest.approx(HIGHEST_MICROSECONDS / 1000, rel=0.001)


def test_merged_histograms_hold_the_counts_of_all() -> None:
    fast, slow, both = Latencies(), Latencies(), Latencies()
    for i in range(1, 100):
        for latencies, seconds in ((fast, i / 1e5), (slow, i / 1e3)):
            latencies.record(seconds)
            both.record(seconds)
    assert summary_of(merged([fast.encoded(), slow.encoded()])) == both.summary()


def test_the_percentiles_are_those_of_the_histogram() -> None:
    latencies, exact = Latencies(), empty()
    for number in range(1, 3000):
        microseconds = number * number
        latencies.record(microseconds / 1e6)
        exact.record_value(microseconds)
    found = latencies.summary()
    assert found is not None
    for share in (50, 90, 95, 99):
        theirs = exact.get_value_at_percentile(share) / 1000
        assert getattr(found, f"p{share}") == pytest.approx(theirs, rel=0.001)
    assert found.max == exact.get_max_value() / 1000
    assert found.mean == pytest.approx(exact.get_mean_value() / 1000, rel=0.001)
