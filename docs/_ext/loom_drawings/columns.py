"""Columns of boxes with arrows from one to the next, in the style of the lanes."""

from __future__ import annotations

from dataclasses import dataclass, field

from .lanes import page, text

WIDTH, TOP, ROW, HEIGHT = 936, 90, 58, 44


@dataclass(frozen=True)
class Node:
    """A box in a column, with a line of small text below its first; `rows` high."""

    left: float
    row: float
    width: float
    text: str
    small: str = ""
    kind: str = "code"
    rows: float = 1

    @property
    def top(self) -> float:
        return TOP + self.row * ROW

    @property
    def height(self) -> float:
        return HEIGHT + (self.rows - 1) * ROW

    def svg(self) -> str:
        x, y = self.left + self.width / 2, self.top + self.height / 2
        return "\n".join(
            [
                f'<rect class="{self.kind}" x="{self.left:g}" y="{self.top:g}"'
                f' width="{self.width:g}" height="{self.height:g}" rx="4"/>',
                text(x, y - 3 if self.small else y + 4.5, self.text, "", "middle"),
                text(x, y + 14, self.small, "note", "middle"),
            ]
        )


@dataclass(frozen=True)
class Frame:
    """What is drawn around boxes, with its name at the top."""

    left: float
    top: float
    width: float
    height: float
    name: str

    def svg(self) -> str:
        return (
            f'<rect class="page" x="{self.left:g}" y="{self.top:g}" width="{self.width:g}"'
            f' height="{self.height:g}" rx="8"/>\n' + text(self.left + 14, self.top + 22, self.name)
        )


@dataclass
class Columns:
    """A picture of boxes; `arrows` are (from x, to x, row)."""

    title: str
    rows: int
    frames: list[Frame]
    nodes: list[Node]
    arrows: list[tuple[float, float, float]]
    notes: list[str] = field(default_factory=list)

    def svg(self) -> str:
        """The whole file."""
        end = TOP + self.rows * ROW + 16
        content = [
            *(frame.svg() for frame in self.frames),
            *(node.svg() for node in self.nodes),
            *(arrow(*each) for each in self.arrows),
            *(text(20, end + 18 * n, note, "note") for n, note in enumerate(self.notes)),
        ]
        return page(self.title, WIDTH, end + 18 * len(self.notes), content)


def arrow(start: float, end: float, row: float) -> str:
    y = TOP + row * ROW + HEIGHT / 2
    return f'<path class="hop" d="M{start:g} {y:g}H{end:g}" marker-end="url(#head)"/>'
