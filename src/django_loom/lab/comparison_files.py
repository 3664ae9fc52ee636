"""Write a comparison of two runs as a page and as Markdown."""

from __future__ import annotations

from html import escape
from pathlib import Path

from .comparing import COMPARED, Comparison
from .html import document, table
from .reports import new_directory

HEADINGS = ["server", "at", *COMPARED.values(), "failures"]
CONDITIONS = ["condition", "before", "after"]
NONE_SHOWN = "No difference is shown by this data."
DEFINITIONS = (
    "Each figure is the median of a run's repeats, before → after. A difference is called real,"
    " and has its ratio, when the 95 % intervals (bootstrap) of the two do not overlap; otherwise"
    " it is not shown by this data, which does not say that there is none."
)


def write_comparison(found: Comparison, target: Path) -> Path:
    """Write comparison.html and comparison.md into a new directory, which is returned.

    Raises `UsageError` if that cannot be written, or is there already.
    """
    with new_directory(target) as unfinished:
        unfinished.joinpath("comparison.html").write_text(comparison_page(found), encoding="utf-8")
        unfinished.joinpath("comparison.md").write_text(markdown(found), encoding="utf-8")
    return target


def comparison_page(found: Comparison) -> str:
    """The comparison as one HTML file that needs nothing else."""
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
