"""What repeated measurements say, and what they do not: medians, intervals, differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from statistics import median

from django_loom.lab.exceptions import MissingPackage

try:
    import numpy as np
    from numpy.typing import NDArray
except ImportError as error:
    raise MissingPackage.of_extra("the lab", "numpy") from error

RESAMPLES = 2000
CONFIDENCE = 0.95
FEWEST_SAMPLES = 3  # fewer say nothing about how much they vary
ENOUGH_SAMPLES = 5  # fewer give intervals from the least to the greatest, easily too narrow
SEED = 20240229  # the same samples give the same intervals each time


def chance(samples: int) -> int:
    """In how many comparisons of things that are equal their samples are wholly apart once."""
    return comb(2 * samples, samples) // 2


@dataclass(frozen=True, slots=True)
class Interval:
    """A median and, with `CONFIDENCE`, what it lies between.

    With fewer than `FEWEST_SAMPLES` samples `low` and `high` are None: nothing is known of them.
    """

    median: float
    low: float | None
    high: float | None
    samples: int


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as large one measurement is as another; `shown` if it surely differs."""

    ratio: float
    low: float | None
    high: float | None
    shown: bool


def interval(samples: Sequence[float]) -> Interval:
    """The median of one or more samples with its bootstrap percentile interval.

    Raises `ValueError` without any sample.
    """
    if not samples:
        raise ValueError("expected at least one sample")
    middle = median(samples)
    if len(samples) < FEWEST_SAMPLES:
        return Interval(middle, None, None, len(samples))
    low, high = bounds(resampled_medians(samples))
    return Interval(middle, low, high, len(samples))


def ratio(samples: Sequence[float], others: Sequence[float]) -> Ratio:
    """How the median of `samples` compares to that of `others`, both above zero.

    A difference is shown when the intervals of the two do not overlap: a careful rule, that calls
    fewer differences real than a test of the difference itself.

    Raises `ValueError` without samples, or if those compared to are not above zero.
    """
    ours, theirs = interval(samples), interval(others)
    if min(others) <= 0:
        raise ValueError("expected samples above zero to compare to")
    middle = ours.median / theirs.median
    if ours.low is None or ours.high is None or theirs.low is None or theirs.high is None:
        return Ratio(middle, None, None, shown=False)
    apart = ours.low > theirs.high or ours.high < theirs.low
    low, high = bounds(resampled_medians(samples) / resampled_medians(others, SEED + 1))
    return Ratio(middle, low, high, shown=apart)


def resampled_medians(samples: Sequence[float], seed: int = SEED) -> NDArray[np.float64]:
    """The medians of `RESAMPLES` draws with replacement, each as long as the samples."""
    # Not numpy's default generator, whose numbers may change with its version: a report that is
    # made again says the same.
    source = np.random.RandomState(seed)
    draws = source.choice(np.asarray(samples, float), (RESAMPLES, len(samples)))
    medians: NDArray[np.float64] = np.median(draws, axis=1)
    return medians


def bounds(values: NDArray[np.float64]) -> tuple[float, float]:
    """What the middle `CONFIDENCE` of the values lies between."""
    in_order = np.sort(values)
    outside = round(len(in_order) * (1 - CONFIDENCE) / 2)
    return float(in_order[outside]), float(in_order[-1 - outside])
