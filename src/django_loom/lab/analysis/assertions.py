"""Work an assertion out on the figures of a run."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass

from django_loom.lab.analysis.expressions import Assertion, ExpressionError
from django_loom.lab.analysis.figures import Figures
from django_loom.lab.analysis.metrics import METRICS, value

OPERATIONS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
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

    :raises ExpressionError: a server, a metric or a point is not there, or a side is no finite
        number; the error shows where.
    """
    named = figures_in(assertion)
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


def figures_in(assertion: Assertion) -> list[ast.Attribute]:
    nodes = (node for side in (assertion.left, assertion.right) for node in ast.walk(side))
    return [node for node in nodes if isinstance(node, ast.Attribute)]


def points(
    assertion: Assertion, named: list[ast.Attribute], figures: Figures
) -> list[float | None]:
    if assertion.at is not None:
        known = figures.values()
        if assertion.at not in known:
            listed = ", ".join(f"{x:g}" for x in known)
            message = f"nothing was measured at {assertion.at:g}; there is: {listed}"
            raise ExpressionError(message, assertion.text, assertion.at_place)
        return [assertion.at]
    if not named:
        return [None]
    servers = {assertion.figure(each)[0] for each in named}
    return [*sorted({point.x for server in servers for point in figures.of(server)})]


def check_names(assertion: Assertion, node: ast.Attribute, figures: Figures) -> None:
    server, metric = assertion.figure(node)
    if server not in figures.servers:
        message = f"there is no server {server!r}; there are: {', '.join(figures.servers)}"
        raise ExpressionError(message, assertion.text, node.col_offset)
    if metric not in METRICS:
        message = f"there is no figure {metric!r}; there are: {', '.join(METRICS)}"
        raise ExpressionError(message, assertion.text, node.col_offset + len(server) + 1)


def worked_out(assertion: Assertion, node: ast.expr, figures: Figures, x: float | None) -> float:
    try:
        found = result(assertion, node, figures, x)
    except ZeroDivisionError:
        raise ExpressionError(
            f"division by zero{at(x)}", assertion.text, assertion.place(node)
        ) from None
    except OverflowError:  # of an int that no float can be
        found = math.inf
    if not math.isfinite(found):
        raise ExpressionError(f"this is too large{at(x)}", assertion.text, assertion.place(node))
    return found


def result(assertion: Assertion, node: ast.expr, figures: Figures, x: float | None) -> float:
    match node:
        case ast.Constant(int() | float() as number):
            return float(number)
        case ast.Attribute():
            return measured(assertion, node, figures, x)
        case ast.UnaryOp(_, operand):
            return -worked_out(assertion, operand, figures, x)
        case ast.BinOp(left, sign, right):
            sides = (worked_out(assertion, each, figures, x) for each in (left, right))
            return OPERATIONS[type(sign)](*sides)
    raise TypeError(f"parse() lets no {type(node).__name__} pass")


def measured(assertion: Assertion, node: ast.Attribute, figures: Figures, x: float | None) -> float:
    server, metric = assertion.figure(node)
    point = None if x is None else figures.at(server, x)
    found = None if point is None else value(point, metric)
    if found is None:
        why = "was not measured" if point is None else f"has no {metric}: no good answer"
        raise ExpressionError(f"{server} {why}{at(x)}", assertion.text, node.col_offset)
    return found


def at(x: float | None) -> str:
    return "" if x is None else f" at {x:g}"
