"""Work an assertion out on the figures of a run."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django_loom.lab.analysis.expressions import (
    Assertion,
    ExpressionError,
    Figure,
    Negative,
    Node,
    Number,
    Operation,
)
from django_loom.lab.analysis.figures import Figures
from django_loom.lab.analysis.metrics import METRICS, value

OPERATIONS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an assertion came to at one point; `x` is None if it names no figure."""

    assertion: Assertion
    x: float | None
    left: float
    right: float

    @property
    def holds(self) -> bool:
        return COMPARISONS[self.assertion.comparison](self.left, self.right)

    def line(self) -> str:
        """Each side's figure, at which point, and of which assertion."""
        # Sides that look alike in six digits may differ further on.
        left, right = f"{self.left:.6g}", f"{self.right:.6g}"
        if left == right and self.left != self.right:
            left, right = repr(self.left), repr(self.right)
        word = "holds" if self.holds else "FAILS"
        where = "" if self.x is None else f" at {self.x:g}"
        return f"{word}{where}: {left} {self.assertion.comparison} {right} ({self.assertion.text})"


def verdicts(assertion: Assertion, figures: Figures) -> list[Verdict]:
    """What the assertion comes to at its point, or at every point that one of its servers has.

    Raises `ExpressionError`, with the place, for a server, a metric or a point that is not there,
    and for a side that is no finite number.
    """
    named = [*figures_in(assertion.left), *figures_in(assertion.right)]
    for figure in named:
        check_names(assertion, figure, figures)
    return [
        Verdict(
            assertion,
            x,
            worked_out(assertion, assertion.left, figures, x),
            worked_out(assertion, assertion.right, figures, x),
        )
        for x in points(assertion, named, figures)
    ]


def points(assertion: Assertion, named: list[Figure], figures: Figures) -> list[float | None]:
    if assertion.at is not None:
        known = figures.values()
        if assertion.at.value not in known:
            listed = ", ".join(f"{x:g}" for x in known)
            message = f"nothing was measured at {assertion.at.value:g}; there is: {listed}"
            raise ExpressionError(message, assertion.text, assertion.at.place)
        return [assertion.at.value]
    if not named:
        return [None]
    return [*sorted({point.x for each in named for point in figures.of(each.server)})]


def figures_in(node: Node) -> Iterator[Figure]:
    if isinstance(node, Figure):
        yield node
    elif isinstance(node, Negative):
        yield from figures_in(node.operand)
    elif isinstance(node, Operation):
        yield from figures_in(node.left)
        yield from figures_in(node.right)


def check_names(assertion: Assertion, figure: Figure, figures: Figures) -> None:
    if figure.server not in figures.servers:
        message = f"there is no server {figure.server!r}; there are: {', '.join(figures.servers)}"
        raise ExpressionError(message, assertion.text, figure.place)
    if figure.metric not in METRICS:
        message = f"there is no figure {figure.metric!r}; there are: {', '.join(METRICS)}"
        place = figure.place + len(figure.server) + 1
        raise ExpressionError(message, assertion.text, place)


def worked_out(assertion: Assertion, node: Node, figures: Figures, x: float | None) -> float:
    if isinstance(node, Number):
        found = node.value
    elif isinstance(node, Figure):
        found = measured(assertion, node, figures, x)
    elif isinstance(node, Negative):
        found = -worked_out(assertion, node.operand, figures, x)
    else:
        left = worked_out(assertion, node.left, figures, x)
        right = worked_out(assertion, node.right, figures, x)
        if node.sign == "/" and right == 0:
            raise ExpressionError(f"division by zero{at(x)}", assertion.text, node.place)
        found = OPERATIONS[node.sign](left, right)
    if not math.isfinite(found):
        raise ExpressionError(f"this is too large{at(x)}", assertion.text, node.place)
    return found


def measured(assertion: Assertion, figure: Figure, figures: Figures, x: float | None) -> float:
    point = None if x is None else figures.at(figure.server, x)
    found = None if point is None else value(point, figure.metric)
    if found is None:
        why = "was not measured" if point is None else f"has no {figure.metric}: no good answer"
        raise ExpressionError(f"{figure.server} {why}{at(x)}", assertion.text, figure.place)
    return found


def at(x: float | None) -> str:
    return "" if x is None else f" at {x:g}"
