"""The two charts of an experiment: time per request, and requests per second."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no window, wherever this runs

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from django_loom.lab.analysis.figures import Figures, PointFigures
from django_loom.lab.analysis.model import time_across_all, time_per_request
from django_loom.lab.analysis.statistics import Interval

MARKERS = "osD^vP"
SIZE = (8.0, 5.0)  # inches
LINES: dict[str, dict[str, Any]] = {
    "per request": {"linestyle": "-"},
    "across all concurrent": {"linestyle": "--"},
    "model": {"linestyle": ":", "alpha": 0.6},
}


def rate_chart(figures: Figures, varies: str) -> Figure:
    """Requests per second of each server, and what the model expects."""
    chart, axes = new_chart(figures.values(), varies, "requests per second")
    for server in figures.servers:
        draw_line(axes, figures, server, lambda point: point.rate, "per request")
        draw_model(axes, figures, server, lambda rate, clients: rate)
    legend(axes, figures.labels, figures.servers, {"model": LINES["model"]})
    return chart


def time_chart(figures: Figures, varies: str) -> Figure:
    """Milliseconds per request and across all concurrent requests, and what the model expects."""
    chart, axes = new_chart(figures.values(), varies, "milliseconds")
    for server in figures.servers:
        draw_line(axes, figures, server, lambda point: point.time, "per request")
        draw_line(axes, figures, server, lambda point: point.across, "across all concurrent")
        draw_model(axes, figures, server, time_per_request)
        draw_model(axes, figures, server, lambda rate, clients: time_across_all(rate))
    legend(axes, figures.labels, figures.servers, LINES)
    return chart


def new_chart(values: list[float], varies: str, unit: str) -> tuple[Figure, Axes]:
    chart, axes = pyplot.subplots(figsize=SIZE, layout="constrained")
    axes.set_xlabel(varies)
    axes.set_ylabel(unit)
    axes.set_yscale("log")
    if values and values[-1] > 10 * values[0]:
        axes.set_xscale("log")
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    return chart, axes


def draw_line(
    axes: Axes,
    figures: Figures,
    server: str,
    of: Callable[[PointFigures], Interval | None],
    line: str,
) -> None:
    draw(axes, figures, server, of, {**look(figures.labels, server), **LINES[line]})


def draw(
    axes: Axes,
    figures: Figures,
    server: str,
    of: Callable[[PointFigures], Interval | None],
    style: dict[str, Any],
) -> None:
    """Draw a server's line with its intervals."""
    found = [(point.x, value) for point in figures.of(server) if (value := of(point))]
    if not found:
        return
    axes.errorbar(
        [x for x, _ in found],
        [value.median for _, value in found],
        yerr=[
            [value.median - (value.low or value.median) for _, value in found],
            [(value.high or value.median) - value.median for _, value in found],
        ],
        markersize=5,
        capsize=3,
        **style,
    )


def draw_model(
    axes: Axes, figures: Figures, server: str, of: Callable[[float, int], float]
) -> None:
    expected = [
        (point.x, of(point.expected, point.clients))
        for point in figures.of(server)
        if point.expected
    ]
    axes.plot(
        [x for x, _ in expected],
        [y for _, y in expected],
        color=look(figures.labels, server)["color"],
        **LINES["model"],
    )


def legend(
    axes: Axes,
    labels: dict[str, str],
    servers: Iterable[str],
    lines: dict[str, dict[str, Any]],
) -> None:
    keep_height(axes)
    handles = [Line2D([], [], label=labels[each], **look(labels, each)) for each in servers]
    handles += [Line2D([], [], color="gray", label=name, **lines[name]) for name in lines]
    axes.legend(handles=handles, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))


def keep_height(axes: Axes) -> None:
    """Give room to values that lie on one line: a logarithmic scale cannot show no height."""
    low, high = axes.dataLim.intervaly
    if 0 < low <= high <= low * 1.01:
        axes.set_autoscaley_on(False)  # which set_ylim() would do first, in vain
        axes.set_ylim(low / 2, high * 2)


def look(labels: dict[str, str], server: str) -> dict[str, Any]:
    """The color and the marker of a server in all charts of a report."""
    number = list(labels).index(server)
    return {"color": f"C{number}", "marker": MARKERS[number % len(MARKERS)]}


def drawn(chart: Figure, kind: str) -> bytes:
    """The chart as `svg` or `png`."""
    output = io.BytesIO()
    # The same figures give the same file: neither a date in it nor random names.
    with matplotlib.rc_context({"svg.hashsalt": "lab", "svg.fonttype": "none"}):
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        chart.savefig(output, format=kind, metadata=metadata, dpi=150)
    return output.getvalue()
