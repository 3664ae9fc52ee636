"""Medians and intervals of known distributions, and differences that are or are not shown."""

from __future__ import annotations

import random
from statistics import NormalDist

import pytest

from django_loom.lab.analysis.statistics import interval, ratio

NORMAL = NormalDist(100, 10)


def test_the_median_of_a_known_distribution_is_found() -> None:
    samples = NORMAL.samples(400, seed=1)
    found = interval(samples)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 100 < found.high
    # A normal distribution's median has the standard error 1.2533 * deviation / sqrt(n).
    assert found.high - found.low == pytest.approx(2 * 1.96 * 1.2533 * 10 / 20, rel=0.25)


def test_intervals_hold_the_true_median_about_as_often_as_they_say() -> None:
    rounds = 100
    held = 0
    for seed in range(rounds):
        found = interval(NORMAL.samples(9, seed=seed))
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 100 <= found.high
    assert held >= 0.9 * rounds


@pytest.mark.parametrize("source", ["uniform", "exponential", "two peaks"])
def test_other_distributions_have_their_medians(source: str) -> None:
    chance = random.Random(5)
    draw, median = {
        "uniform": (lambda: chance.uniform(0, 2), 1.0),
        "exponential": (lambda: chance.expovariate(1), 0.6931),
        "two peaks": (lambda: chance.choice([1.0, 1.0, 5.0]), 1.0),
    }[source]
    found = interval([draw() for _ in range(500)])
    assert found.low is not None
    assert found.high is not None
    assert found.low <= median <= found.high
    assert found.median == pytest.approx(median, rel=0.15)


def test_equal_samples_have_an_interval_of_one_point() -> None:
    found = interval([7.0] * 5)
    assert (found.median, found.low, found.high, found.samples) == (7.0, 7.0, 7.0, 5)


@pytest.mark.parametrize("samples", [[3.0], [3.0, 4.0]])
def test_few_samples_have_no_interval(samples: list[float]) -> None:
    found = interval(samples)
    assert (found.low, found.high) == (None, None)


def test_the_same_samples_give_the_same_interval() -> None:
    samples = NORMAL.samples(5, seed=3)
    assert interval(samples) == interval(samples)


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        interval([])
    with pytest.raises(ValueError, match="above zero"):
        ratio([1.0], [0.0])


def test_a_true_difference_is_shown_with_its_ratio() -> None:
    found = ratio([398, 400, 401, 399, 402], [10, 10.1, 9.9, 10, 10])
    assert found.shown
    assert found.ratio == 40
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 40 <= found.high


def test_a_smaller_one_is_shown_too() -> None:
    assert ratio([9, 10, 11, 10, 10], [19, 20, 21, 20, 20]).shown


def test_overlapping_intervals_show_no_difference() -> None:
    assert not ratio([95, 100, 105, 98, 103], [97, 101, 106, 99, 102]).shown


def test_few_samples_show_no_difference() -> None:
    found = ratio([400, 400], [10, 10])
    assert found.ratio == 40
    assert not found.shown


def test_samples_of_one_distribution_seldom_differ() -> None:
    pairs = [(NORMAL.samples(5, seed=n), NORMAL.samples(5, seed=10_000 + n)) for n in range(50)]
    assert sum(ratio(ours, theirs).shown for ours, theirs in pairs) <= 3
