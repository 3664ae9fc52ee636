"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

from html import escape

from django_loom.lab.reports.tables import DEFINITIONS, Report

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #ccc; text-align: right }
th:first-child, td:first-child { text-align: left }
.wide { overflow-x: auto }
.note { font-weight: bold }
h1 { overflow-wrap: anywhere }
figure { margin: 1rem 0 }
svg { max-width: 100%; height: auto }
dt { font-weight: bold }
dd { overflow-wrap: anywhere }
@media print {
  body { margin: 0; max-width: none; padding: 0; font-size: 11px }
  table { font-size: 9px }
  th, td { padding: .1rem .3rem }
  .wide { overflow: visible } /* paper does not scroll */
  figure { margin: .5rem 0 }
  h2 { break-after: avoid }
  svg, tr { break-inside: avoid }
}
"""


def page(said: Report, charts: dict[str, str]) -> str:
    """The page, with its charts (SVG by their names) inside."""
    conclusions = "".join(
        f"<li>{escape(sentence)}</li>" for sentence in said.conclusions or ["Nothing yet."]
    )
    conditions = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in said.conditions
    )
    return document(
        said.title,
        f"""<p>{escape(said.question)}</p>
{"".join(f'<p class="note">{escape(note)}</p>' for note in said.notes)}
<p>Expected: {escape(said.expected)}</p>
<h2>What the data says</h2>
<ul>{conclusions}</ul>
{"".join(figure(name, svg) for name, svg in charts.items())}
<h2>Figures</h2>
{table(said.headings, said.rows)}
<p>{escape(DEFINITIONS)}</p>
<h2>Conditions</h2>
<dl>{conditions}</dl>""",
    )


def document(title: str, body: str) -> str:
    """A page with that title, as text and as its heading; the body is HTML."""
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{escape(title)}</title>
<style>{STYLE}</style>
<h1>{escape(title)}</h1>
{body}
</html>
"""


def figure(name: str, svg: str) -> str:
    # What comes before is the XML prolog, which a page cannot have in its middle.
    drawing = svg[svg.index("<svg") :]
    # Two drawings in one page must not share the names of their parts.
    for reference in ('id="', 'href="#', "url(#"):
        drawing = drawing.replace(reference, f"{reference}{name}-")
    return f"<figure>{drawing}</figure>"


def table(headings: list[str], rows: list[list[str]]) -> str:
    """A table of texts, which scrolls by itself where it is too wide."""
    head = "".join(f"<th>{escape(each)}</th>" for each in headings)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>" for cells in rows
    )
    whole = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="wide">{whole}</div>'
