"""The language of `loom lab assert`: what one may write, read into a tree.

    assertion   sum COMPARISON sum [ "@" number ]
    sum         numbers and figures, with + - * / and parentheses
    figure      server "." metric

COMPARISON is one of < <= > >= == !=. A server's name may have hyphens inside: `a-b.rps` is the
server `a-b`, and what is left of a minus sign is parted from it by a space.

Python reads it, and what its tree has beyond this is refused. Nothing of it is ever run.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass

from django_loom.lab.exceptions import UsageError

FIGURE = re.compile(r"[A-Za-z_][\w-]*\.[A-Za-z_]\w*", re.ASCII)
NOT_ALLOWED = re.compile(r"[^\w\s.+*/<>=!()@-]", re.ASCII)
UP_TO_AN_OPERATOR = re.compile(r"[\s)]*")
LONGEST = 400  # characters, and so the depth of the tree at most
ALLOWED = "expected numbers, figures such as loom.rps, + - * / and parentheses"
COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
SIGNS = (ast.Add, ast.Sub, ast.Mult, ast.Div)


class ExpressionError(UsageError):
    """An assertion cannot be read or worked out; the text shows where."""

    def __init__(self, message: str, text: str, place: int) -> None:
        super().__init__(f"{message}\n  {text}\n  {' ' * place}^")


@dataclass(frozen=True, slots=True)
class Assertion:
    """`left` compared to `right`; at the point `at`, or at all where that is None.

    The sides are made of `ast.BinOp`, `ast.UnaryOp`, `ast.Constant` and `ast.Attribute`, the last
    of which is a figure; their columns are places in `text`.
    """

    text: str
    left: ast.expr
    comparison: str
    right: ast.expr
    at: float | None

    def figure(self, node: ast.Attribute) -> tuple[str, str]:
        """The server and the metric of a figure."""
        server, _, metric = self.text[node.col_offset : node.end_col_offset].partition(".")
        return server, metric

    def place(self, node: ast.expr) -> int:
        """Where a part of it is: of an operation its operator."""
        if isinstance(node, ast.BinOp):
            return operator_place(self.text, node.left)
        return node.col_offset

    @property
    def at_place(self) -> int:
        """Where the point is."""
        return point_place(self.text)


def parse(text: str) -> Assertion:
    """The tree of an assertion.

    :raises ExpressionError: it cannot be one; the error shows where, and says what is expected.
    """
    text = text.strip()
    if len(text) > LONGEST:
        raise ExpressionError(f"expected at most {LONGEST} characters", text, LONGEST)
    if wrong := NOT_ALLOWED.search(text):
        raise ExpressionError(f"{ALLOWED}, not {wrong[0]!r}", text, wrong.start())
    sides, at_sign, _ = text.partition("@")
    compared = comparison_in(text, sides)
    for side in (compared.left, *compared.comparators):
        check(text, side)
    sign = COMPARISONS[type(compared.ops[0])]
    at = point(text) if at_sign else None
    return Assertion(text, compared.left, sign, compared.comparators[0], at)


def comparison_in(text: str, sides: str) -> ast.Compare:
    # Figures become names of Python's, as long as they are, so that columns stay places.
    plain = FIGURE.sub(lambda found: re.sub(r"[^.]", "_", found[0]), re.sub(r"\s", " ", sides))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # such as of `1if`
            tree = ast.parse(plain, mode="eval").body
    except SyntaxError as error:
        place = error.offset - 1 if error.offset else len(sides.rstrip())  # 0: at the end
        raise ExpressionError(f"{ALLOWED} on each side of a comparison", text, place) from None
    expected = f"expected one of {' '.join(COMPARISONS.values())}"
    if not isinstance(tree, ast.Compare):
        check(text, tree)  # which may know better what is wrong
        raise ExpressionError(expected, text, len(sides.rstrip()))
    if type(tree.ops[0]) not in COMPARISONS:
        raise ExpressionError(expected, text, operator_place(text, tree.left))
    if len(tree.ops) > 1:
        place = operator_place(text, tree.comparators[0])
        raise ExpressionError("expected one comparison only", text, place)
    return tree


def check(text: str, node: ast.expr) -> None:
    """Raise `ExpressionError` for anything that the language does not have."""
    match node:
        case ast.BinOp(left, op, right):
            check(text, left)
            check(text, right)
            if not isinstance(op, SIGNS):
                raise ExpressionError(ALLOWED, text, operator_place(text, left))
        case ast.UnaryOp(ast.USub(), operand):
            check(text, operand)
        case ast.Constant(value) if type(value) in (int, float):
            pass
        case ast.Attribute(ast.Name()) if FIGURE.fullmatch(
            text, node.col_offset, node.end_col_offset or 0
        ):
            pass
        case _:
            raise ExpressionError(ALLOWED, text, node.col_offset)


def operator_place(text: str, left: ast.expr) -> int:
    found = UP_TO_AN_OPERATOR.match(text, left.end_col_offset or 0)
    return found.end() if found else 0


def point(text: str) -> float:
    try:
        return float(text.partition("@")[2])
    except ValueError:
        raise ExpressionError("expected the value of a point", text, point_place(text)) from None


def point_place(text: str) -> int:
    before, _, after = text.partition("@")
    return len(before) + 1 + len(after) - len(after.lstrip())
