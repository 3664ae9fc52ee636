"""The charts of two runs: each server's line before and after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure

from django_loom.lab.analysis.figures import Figures, PointFigures
from django_loom.lab.analysis.statistics import Interval
from django_loom.lab.reports.charts import draw, legend, look, new_chart

RUNS: dict[str, dict[str, Any]] = {
    "before": {"linestyle": "--", "alpha": 0.7, "markerfacecolor": "white"},
    "after": {"linestyle": "-"},
}


def comparison_chart(
    before: Figures,
    after: Figures,
    varies: str,
    unit: str,
    of: Callable[[PointFigures], Interval | None],
) -> Figure:
    """One figure of each point of two runs."""
    chart, axes = new_chart(sorted({*before.values(), *after.values()}), varies, unit)
    labels = {**before.labels, **after.labels}
    for run, figures in (("before", before), ("after", after)):
        for server in figures.servers:
            draw(axes, figures, server, of, {**look(labels, server), **RUNS[run]})
    legend(axes, labels, dict.fromkeys([*before.servers, *after.servers]), RUNS)
    return chart
