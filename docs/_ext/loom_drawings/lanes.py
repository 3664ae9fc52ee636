"""Lanes with boxes along a time axis, as an SVG that is readable on light and dark pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

LEFT, TOP, UNIT, LANE, HEIGHT = 176, 56, 9.2, 58, 34
KINDS = {"code": "code", "view": "view", "wait": "wait", "loop": "loop", "held": "held"}
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2933 }
.title { font-weight: 600; font-size: 15px } .lane { fill: #52606d }
.note { fill: #52606d; font-size: 12px }
.page { fill: #ffffff; stroke: #d5dae1 } .line { stroke: #d5dae1 } .hop { stroke: #c2410c }
.head { fill: #c2410c }
.code { fill: #dbeafe; stroke: #6b9bd8 } .view { fill: #eadcf5; stroke: #a878cc }
.wait { fill: #ffffff; stroke: #9aa5b1; stroke-dasharray: 4 3 }
.loop { fill: #e7f5e5; stroke: #79b873 }
.held { fill: #fde9cf; stroke: #dd9d45 }
@media (prefers-color-scheme: dark) {
text { fill: #e4e7eb } .lane, .note { fill: #a5b1bf }
.page { fill: #16191d; stroke: #3a424d } .line { stroke: #3a424d } .hop { stroke: #fb923c }
.head { fill: #fb923c }
.code { fill: #1e3a5f; stroke: #5b8fd1 } .view { fill: #432a58; stroke: #b48ad6 }
.wait { fill: #16191d; stroke: #7b8794 } .loop { fill: #1d3b20; stroke: #6fae69 }
.held { fill: #4a3413; stroke: #d29a4a }
}
"""


@dataclass(frozen=True)
class Box:
    """What a lane does from `start` on, for `width` units of time."""

    lane: int
    start: float
    width: float
    text: str = ""
    kind: str = "code"


@dataclass
class Drawing:
    """A picture of lanes; `hops` are (time, from lane, to lane)."""

    title: str
    lanes: list[str]
    boxes: list[Box]
    hops: list[tuple[float, int, int]] = field(default_factory=list)
    note: str = ""
    length: float = 80

    def svg(self) -> str:
        """The whole file."""
        width, height = LEFT + self.length * UNIT + 24, TOP + len(self.lanes) * LANE + 34
        content = [
            *(lane(number, name, width) for number, name in enumerate(self.lanes)),
            *(box(each) for each in self.boxes),
            *(hop(*each) for each in self.hops),
            text(20, height - 15, self.note, "note"),
        ]
        return page(self.title, width, height, content)


def page(title: str, width: float, height: float, content: list[str]) -> str:
    """The whole file around a drawing's content."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}"'
        f' role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"',
        'markerHeight="7" orient="auto"><path class="head" d="M0 0 8 4 0 8z"/></marker></defs>',
        f'<rect class="page" x=".5" y=".5" width="{width - 1:g}"',
        f'height="{height - 1:g}" rx="8"/>',
        text(20, 31, title, "title"),
        *content,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def text(x: float, y: float, content: str, kind: str = "", anchor: str = "start") -> str:
    return (
        f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(content)}</text>'
    )


def middle(number: int) -> float:
    return TOP + number * LANE + LANE / 2


def lane(number: int, name: str, width: float) -> str:
    y = middle(number)
    rule = f'<path class="line" d="M{LEFT} {y:g}H{width - 20:g}"/>'
    return text(20, y + 4, name, "lane") + rule


def box(each: Box) -> str:
    x, y = LEFT + each.start * UNIT, middle(each.lane) - HEIGHT / 2
    wide = each.width * UNIT
    shape = (
        f'<rect class="{KINDS[each.kind]}" x="{x:g}" y="{y:g}" width="{wide:g}"'
        f' height="{HEIGHT}" rx="4"/>'
    )
    return shape + text(x + wide / 2, y + HEIGHT / 2 + 4.5, each.text, "", "middle")


def hop(time: float, start: int, end: int) -> str:
    x, down = LEFT + time * UNIT, 1 if end > start else -1
    first, last = middle(start) + down * HEIGHT / 2, middle(end) - down * HEIGHT / 2
    return f'<path class="hop" d="M{x:g} {first:g}V{last:g}" marker-end="url(#head)"/>'
