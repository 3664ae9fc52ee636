"""Charts of values that matplotlib cannot scale by itself."""

from __future__ import annotations

import pytest
from matplotlib import pyplot

from django_loom.lab.reports.charts import drawn, keep_height


@pytest.mark.parametrize("value", [10.0, 5.0, 1.0, 2000 / 3])
def test_a_single_value_has_room_around_it(value: float) -> None:
    chart, axes = pyplot.subplots(layout="constrained")
    axes.set_yscale("log")
    axes.errorbar([2], [value], yerr=[[0], [0]])
    keep_height(axes)
    assert drawn(chart, "svg")
    assert axes.get_ylim() == pytest.approx((value / 2, value * 2))
    pyplot.close(chart)
