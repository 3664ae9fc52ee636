"""Write a comparison of two runs as a page and as Markdown."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from operator import attrgetter
from pathlib import Path

from django_loom.lab.analysis.figures import PointFigures
from django_loom.lab.analysis.statistics import Interval
from django_loom.lab.reports.comparison import COMPARED, Comparison
from django_loom.lab.reports.comparison_charts import comparison_chart
from django_loom.lab.reports.html import document, figure, table
from django_loom.lab.reports.report_files import new_directory, write_chart

HEADINGS = ["server", "at", *COMPARED.values(), "failures"]
CHARTS: dict[str, tuple[str, Callable[[PointFigures], Interval | None]]] = {
    "rate": ("requests per second", attrgetter("rate")),
    "time": ("milliseconds per request", attrgetter("time")),
}
CONDITIONS = ["condition", "before", "after"]
NONE_SHOWN = "No difference is shown by this data."
DEFINITIONS = (
    "Each figure is the median of a run's repeats, before → after. A difference is called real,"
    " and has its ratio, when the 95 % intervals (bootstrap) of the two do not overlap; otherwise"
    " it is not shown by this data, which does not say that there is none."
)


def write_comparison(found: Comparison, target: Path) -> Path:
    """Write comparison.html, comparison.md and the charts into a new directory, which is returned.

    Raises `UsageError` if that cannot be written, or is there already.
    """
    with new_directory(target) as unfinished:
        svg = {
            name: write_chart(
                comparison_chart(*found.figures, found.varies, unit, of), name, unfinished
            )
            for name, (unit, of) in CHARTS.items()
        }
        page = comparison_page(found, svg)
        unfinished.joinpath("comparison.html").write_text(page, encoding="utf-8")
        unfinished.joinpath("comparison.md").write_text(markdown(found), encoding="utf-8")
    return target


def comparison_page(found: Comparison, charts: dict[str, str]) -> str:
    """The comparison as one HTML file that needs nothing else, its charts (SVG) inside."""
    real = "".join(f"<li>{escape(each)}</li>" for each in found.sentences or [NONE_SHOWN])
    conditions = (
        f"<h2>Conditions that differ</h2>\n{table(CONDITIONS, found.conditions)}"
        if found.conditions
        else "<p>All conditions were the same, but for the load of the machine.</p>"
    )
    return document(
        found.title,
        f"""{"".join(f'<p class="note">{escape(note)}</p>' for note in found.notes)}
<h2>Differences that are real</h2>
<ul>{real}</ul>
{"".join(figure(name, svg) for name, svg in charts.items())}
<h2>Figures</h2>
{table(HEADINGS, [each.row() for each in found.points])}
<p>{escape(DEFINITIONS)}</p>
{conditions}""",
    )


def markdown(found: Comparison) -> str:
    lines = [
        f"# {found.title}",
        "",
        *(f"**{note}**\n" for note in found.notes),
        "## Differences that are real",
        "",
        *(f"- {sentence}" for sentence in found.sentences or [NONE_SHOWN]),
        "",
        *(f"![{name}]({name}.svg)\n" for name in CHARTS),
        *markdown_table(HEADINGS, [each.row() for each in found.points]),
        "",
        DEFINITIONS,
        "",
    ]
    if found.conditions:
        lines += [
            "## Conditions that differ",
            "",
            *markdown_table(CONDITIONS, found.conditions),
            "",
        ]
    return "\n".join(lines)


def markdown_table(headings: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in [headings, ["---"] * len(headings), *rows]]
