"""The chart of the HTTP benchmark, as an SVG that is readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from benchmarks.http.figures import Figures, Sample
from benchmarks.http.peers import LOOM

# Routes of the panels, and what a reader calls them.
PANELS = {
    "hello": "a line of text",
    "orm": "one ORM read, as JSON",
    "session": "session, user and one ORM read",
    "wait": "a 100 ms query, 1,000 clients, 100 connections",
}
BARS = {
    LOOM: "django-loom",
    "stock": "Django ASGI",
    "gunicorn-sync": "Django, gunicorn sync",
    "gunicorn-threads": "Django, gunicorn threads",
    "django-async-backend": "django-async-backend",
    "fastapi": "FastAPI + SQLAlchemy",
}
WIDTH, PANEL, LABEL, BAR, STEP, HEAD = 960, 468, 176, 16, 25, 62
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2933 }
.title { font-weight: 600; font-size: 16px } .panel { font-weight: 600 }
.note { fill: #52606d; font-size: 12px }
.page { fill: #ffffff; stroke: #d5dae1 } .bar { fill: #b6c2d1 } .ours { fill: #8e4ec6 }
.range { stroke: #52606d; stroke-width: 1.2 }
@media (prefers-color-scheme: dark) {
text { fill: #e4e7eb } .note { fill: #a5b1bf } .page { fill: #16191d; stroke: #3a424d }
.bar { fill: #56616f } .ours { fill: #b887e0 } .range { stroke: #cbd2d9 }
}
"""
NOTE = (
    "One server process on one core. Medians; thin lines from the lowest to the highest repeat."
    " Each panel has its own scale."
)


def svg(figures: Figures) -> str:
    """The whole file: a panel for each route, a bar for each contender that has it."""
    height = HEAD + 2 * (38 + len(BARS) * STEP) + 44
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        ' aria-label="Requests per second of django-loom and its peers">',
        f"<style>{STYLE}</style>",
        f'<rect class="page" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        text(20, 34, "Requests per second", "title"),
    ]
    for number, (route, title) in enumerate(PANELS.items()):
        left = 20 + number % 2 * PANEL
        top = HEAD + number // 2 * (38 + len(BARS) * STEP)
        parts += panel(figures, route, title, left, top)
    return "\n".join([*parts, text(20, height - 18, NOTE, "note"), "</svg>"]) + "\n"


def panel(figures: Figures, route: str, title: str, left: float, top: float) -> Iterator[str]:
    rows = [(peer, row) for peer in BARS if (row := figures.row(route, peer)) is not None]
    most = max((row["max"] for _, row in rows), default=1) or 1
    yield text(left, top + 12, title, "panel")
    for number, (peer, row) in enumerate(rows):
        yield from bar(peer, row, left, top + 24 + number * STEP, most)


def bar(peer: str, row: Sample, left: float, top: float, most: float) -> Iterator[str]:
    scale = (PANEL - LABEL - 96) / most
    start, rate = left + LABEL, row["per_second"]
    middle = top + BAR / 2
    kind = "ours" if peer == LOOM else "bar"
    yield text(left, middle + 4.5, BARS[peer])
    yield (
        f'<rect class="{kind}" x="{start}" y="{top}" width="{max(rate * scale, 1):.1f}"'
        f' height="{BAR}" rx="2"/>'
    )
    low, high = start + row["min"] * scale, start + row["max"] * scale
    yield f'<path class="range" d="M{low:.1f} {middle}H{high:.1f}"/>'
    yield text(high + 8, middle + 4.5, f"{rate:,.0f}")


def text(x: float, y: float, content: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(content)}</text>'
