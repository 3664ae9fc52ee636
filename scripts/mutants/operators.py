"""What is changed in a module: places where a fault of the kind that we make would be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

NO_CONTEXT = "__import__('contextlib').nullcontext()"
SWAPPED: dict[type[ast.AST], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}

ORDERS = {ast.Lt, ast.LtE, ast.Gt, ast.GtE}


@dataclass(frozen=True)
class Mutant:
    """A module with one change: ``before`` and ``after`` are the changed code alone."""

    line: int
    column: int
    before: str
    after: str
    source: str


def mutants(source: str) -> list[Mutant]:
    """Return all mutants of a module, in the order of their places."""
    finder = Finder()
    finder.visit(ast.parse(source))
    places = [(node, after) for node, after in finder.changes if ast.unparse(node) != after]
    places.sort(key=lambda place: (place[0].lineno, place[0].col_offset, place[1]))
    code = source.encode()  # the columns of ast count bytes, too
    lines = [0, *accumulate(len(line) for line in code.splitlines(keepends=True))]
    return [changed(code, lines, node, after) for node, after in places]


def changed(code: bytes, lines: list[int], node: ast.expr | ast.stmt, after: str) -> Mutant:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    start = lines[node.lineno - 1] + node.col_offset
    end = lines[node.end_lineno - 1] + node.end_col_offset
    before = " ".join(code[start:end].decode().split())
    whole = (code[:start] + after.encode() + code[end:]).decode()
    return Mutant(node.lineno, node.col_offset, before, after, whole)


class Finder(ast.NodeVisitor):
    """Notes nodes, each with the code to put in its place. Annotations are left out."""

    def __init__(self) -> None:
        self.changes: list[tuple[ast.expr | ast.stmt, str]] = []
        self._whole_tests: set[ast.expr] = set()

    def note(self, node: ast.expr | ast.stmt, *codes: str | ast.AST) -> None:
        for code in codes:
            after = code if isinstance(code, str) else ast.unparse(ast.fix_missing_locations(code))
            self.changes.append((node, after if isinstance(node, ast.stmt) else f"({after})"))

    # Statements that are left out: what is undone, given back or told to others.

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant | ast.Yield | ast.YieldFrom):
            self.note(node, "pass")
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        for code in without_one_target(node):
            self.note(node, code)
        self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.note(node, "pass")
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Delete(self, node: ast.Delete) -> None:
        self.note(node, "pass")

    def visit_Raise(self, node: ast.Raise) -> None:
        self.note(node, "pass")
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is None:
            self.note(node, "pass")
        elif not isinstance(node.value, ast.Constant):
            self.note(node, "return None")
        self.generic_visit(node)

    def visit_Break(self, node: ast.Break) -> None:
        self.note(node, "continue")

    def visit_Continue(self, node: ast.Continue) -> None:
        self.note(node, "pass", "break")

    # Blocks that lose what they are for.

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            if item.optional_vars is None:
                self.note(item.context_expr, NO_CONTEXT)
        self.generic_visit(node)

    visit_AsyncWith = visit_With

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if isinstance(node.type, ast.Name) and node.type.id == "BaseException":
            self.note(node.type, "Exception")
        self.generic_visit(node)

    # Conditions.

    def visit_If(self, node: ast.If | ast.IfExp) -> None:
        if ast.unparse(node.test) == "TYPE_CHECKING":
            return
        self.note(node.test, "True", "False")
        self._whole_tests.add(node.test)
        self.generic_visit(node)

    visit_IfExp = visit_If

    def visit_While(self, node: ast.While) -> None:
        if not isinstance(node.test, ast.Constant):
            self.note(node.test, "False")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        for left_out in node.values:
            rest = [each for each in node.values if each is not left_out]
            self.note(node, ast.BoolOp(node.op, rest) if len(rest) > 1 else rest[0])
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        swapped = SWAPPED.get(type(node.ops[0])) if len(node.ops) == 1 else None
        # Whoever notices that the branch is always taken, or never, notices its opposite.
        if swapped and (swapped in ORDERS or node not in self._whole_tests):
            self.note(node, ast.Compare(node.left, [swapped()], node.comparators))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self.note(node, f"bool({ast.unparse(node.operand)})")
        self.generic_visit(node)

    # Values.

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.Add | ast.Sub):
            other = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
            self.note(node, ast.BinOp(node.left, other, node.right))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self.note(node, str(not node.value))
        elif node.value in (0, 1):  # larger ones are limits and times, of which no test can know
            self.note(node, str(node.value + 1))

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        defaults = [*node.args.defaults, *node.args.kw_defaults]
        for each in [*(default for default in defaults if default), *node.body]:
            self.visit(each)

    visit_AsyncFunctionDef = visit_FunctionDef


def without_one_target(node: ast.Assign) -> Iterator[str | ast.AST]:
    """Return the assignment without each of the attributes and items that it sets.

    A name alone is kept: without it the next line fails, as any test would tell.
    """
    (first, *others) = node.targets
    if others:
        for left_out in node.targets:
            if not isinstance(left_out, ast.Name):
                rest = [each for each in node.targets if each is not left_out]
                yield ast.Assign(rest, node.value)
    elif isinstance(first, ast.Tuple) and isinstance(node.value, ast.Tuple):
        pairs = list(zip(first.elts, node.value.elts, strict=False))
        for left_out, _ in pairs:
            if not isinstance(left_out, ast.Name):
                targets = [target for target, _ in pairs if target is not left_out]
                values = [value for target, value in pairs if target is not left_out]
                yield ast.Assign([ast.Tuple(targets)], ast.Tuple(values))
    elif isinstance(first, ast.Attribute | ast.Subscript):
        yield "pass"
