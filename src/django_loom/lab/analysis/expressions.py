"""The language of `loom lab assert`: what one may write, read into a tree.

    assertion   sum COMPARISON sum [ "@" number ]
    sum         product { ("+" | "-") product }
    product     operand { ("*" | "/") operand }
    operand     "-" operand | number | server "." metric | "(" sum ")"

COMPARISON is one of < <= > >= == !=. A server's name may have hyphens inside: `a-b.rps` is the
server `a-b`, and what is left of a minus sign is parted from it by a space.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from django_loom.lab.exceptions import UsageError

TOKEN = re.compile(
    r"(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<figure>[A-Za-z_][\w-]*\.[A-Za-z_]\w*)"
    r"|(?P<sign><=|>=|==|!=|[-+*/<>()@])",
    re.ASCII,
)
COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
DEEPEST = 50  # parentheses and minus signs within each other
LONGEST = 1000  # characters
END = "the end"


class ExpressionError(UsageError):
    """An assertion cannot be read or worked out; the text shows where."""

    def __init__(self, message: str, text: str, place: int) -> None:
        super().__init__(f"{message}\n  {text}\n  {' ' * place}^")


@dataclass(frozen=True, slots=True)
class Number:
    value: float
    place: int


@dataclass(frozen=True, slots=True)
class Figure:
    server: str
    metric: str
    place: int


@dataclass(frozen=True, slots=True)
class Negative:
    operand: Node
    place: int


@dataclass(frozen=True, slots=True)
class Operation:
    sign: str
    left: Node
    right: Node
    place: int


Node = Number | Figure | Negative | Operation


@dataclass(frozen=True, slots=True)
class Assertion:
    """`left` compared to `right`; at the point `at`, or at all where that is None."""

    text: str
    left: Node
    comparison: str
    right: Node
    at: Number | None


def parse(text: str) -> Assertion:
    """The tree of an assertion; `ExpressionError`, with the place, for what cannot be one."""
    if len(text) > LONGEST:
        raise ExpressionError(f"expected at most {LONGEST} characters", text, LONGEST)
    return Parser(text).assertion()


class Parser:
    """Reads a text from left to right, one token at a time."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._after = 0
        self._depth = 0
        self._advance()

    def assertion(self) -> Assertion:
        left = self._sum()
        comparison = self._token
        if comparison not in COMPARISONS:
            raise self._unexpected(f"one of {' '.join(COMPARISONS)}")
        self._advance()
        right = self._sum()
        at = None
        if self._token == "@":
            self._advance()
            if self._kind != "number":
                raise self._unexpected("the value of a point")
            at = self._number()
        if self._token != END:
            raise self._unexpected("the end" if at else "an operator, '@' or the end")
        return Assertion(self._text, left, comparison, right, at)

    def _sum(self) -> Node:
        node = self._product()
        while self._token in ("+", "-"):
            sign, place = self._take()
            node = Operation(sign, node, self._product(), place)
        return node

    def _product(self) -> Node:
        node = self._operand()
        while self._token in ("*", "/"):
            sign, place = self._take()
            node = Operation(sign, node, self._operand(), place)
        return node

    def _operand(self) -> Node:
        if self._kind == "number":
            return self._number()
        if self._kind == "figure":
            figure, place = self._take()
            server, _, metric = figure.partition(".")
            return Figure(server, metric, place)
        if self._token not in ("-", "("):
            raise self._unexpected("a number, a figure such as loom.rps, or '('")
        if self._depth == DEEPEST:
            raise self._error(f"more than {DEEPEST} parentheses and signs within each other")
        self._depth += 1
        node = self._negative() if self._token == "-" else self._parenthesis()
        self._depth -= 1
        return node

    def _negative(self) -> Node:
        _, place = self._take()
        return Negative(self._operand(), place)

    def _parenthesis(self) -> Node:
        self._advance()
        node = self._sum()
        if self._token != ")":
            raise self._unexpected("an operator or ')'")
        self._advance()
        return node

    def _number(self) -> Number:
        digits, place = self._take()
        return Number(float(digits), place)

    def _take(self) -> tuple[str, int]:
        taken = self._token, self._place
        self._advance()
        return taken

    def _advance(self) -> None:
        while self._text[self._after : self._after + 1].isspace():
            self._after += 1
        self._place = self._after
        self._kind, self._token = "sign", END
        if self._place == len(self._text):
            return
        found = TOKEN.match(self._text, self._place)
        if found is None:
            self._token = self._text[self._place :].split()[0]
            raise self._unexpected("a number, a figure such as loom.rps, or an operator")
        self._kind, self._token = found.lastgroup or "", found.group()
        self._after = found.end()

    def _unexpected(self, expected: str) -> ExpressionError:
        came = END if self._token == END else repr(self._token)
        return self._error(f"expected {expected}, not {came}")

    def _error(self, message: str) -> ExpressionError:
        return ExpressionError(message, self._text, self._place)
