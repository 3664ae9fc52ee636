"""Assertions: what each operator does, what a mistake is answered with, and its exit code."""

from __future__ import annotations

import ast
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from django_loom.lab.analysis.assertions import Verdict, figures_in, verdicts
from django_loom.lab.analysis.expressions import ALLOWED, LONGEST, ExpressionError, parse
from django_loom.lab.analysis.figures import Figures
from django_loom.lab.cli.main import lab
from django_loom.lab.exceptions import UsageError
from django_loom.lab.outcomes.outcome import Outcome
from tests.lab.outcomes import load_result, outcome, usual

FIGURES = Figures(usual())


def only(text: str) -> Verdict:
    (verdict,) = verdicts(parse(text), FIGURES)
    return verdict


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("1 + 2 > 0", 3),
        ("1 - 2 > 0", -1),
        ("3 * 2 > 0", 6),
        ("3 / 2 > 0", 1.5),
        ("1 + 2 * 3 > 0", 7),
        ("(1 + 2) * 3 > 0", 9),
        ("8 - 2 - 1 > 0", 5),
        ("8 / 2 / 2 > 0", 2),
        ("8 / (2 / 2) > 0", 8),
        ("2 * -3 > 0", -6),
        ("--3 > 0", 3),
        ("-3 - -3 > 0", 0),
        ("-(1 + 2) > 0", -3),
        ("2-1 > 0", 1),
        (".5 + 5. + 1e2 + 2E-1 > 0", 105.7),
        ("loom.rps - 5 > 0 @ 40", 380),
        ("5*loom.rps > 0 @ 40", 1925),
        ("loom.rps-sync.rps > 0 @ 40", 375.1),
        ("loom.p50 > 0 @ 40", 100),
        ("loom.p95 > 0 @ 40", 102),
        ("loom.p99 > 0 @ 40", 103),
        ("loom.failures + 1 > 0 @ 5", 1),
        ("sync.time_per_request > 0 @ 40", 1000 * 40 / 9.9),
    ],
)
def test_a_side_is_worked_out(text: str, left: float) -> None:
    assert only(text).left == pytest.approx(left)


@pytest.mark.parametrize(
    ("sign", "holds"),
    [
        ("<", [True, False, False]),
        ("<=", [True, True, False]),
        (">", [False, False, True]),
        (">=", [False, True, True]),
        ("==", [False, True, False]),
        ("!=", [True, False, True]),
    ],
)
def test_each_comparison(sign: str, holds: list[bool]) -> None:
    assert [only(f"{left} {sign} 2").holds for left in (1, 2, 3)] == holds


def test_without_a_point_it_is_about_all_that_its_servers_have() -> None:
    found = verdicts(parse("loom.rps >= 5 * sync.rps"), FIGURES)
    assert [(verdict.x, verdict.holds) for verdict in found] == [(5, False), (40, True)]


def test_a_name_may_have_hyphens_inside() -> None:
    blocking = Figures(outcome({"aiohttp-blocking": {5: (9.0,)}, "aiohttp": {5: (50.0,)}}))
    (verdict,) = verdicts(parse("aiohttp.rps -aiohttp-blocking.rps>=41"), blocking)
    assert (verdict.left, verdict.right) == (41, 41)


def test_a_server_without_answers_has_no_requests_per_second_and_no_times() -> None:
    figures = Figures(outcome({"sync": {5: (0.0, 0.0)}}))
    assert verdicts(parse("sync.rps == 0"), figures)[0].holds
    with pytest.raises(ExpressionError, match="sync has no p99: no good answer at 5"):
        verdicts(parse("sync.p99 < 5"), figures)


def random_expression(source: random.Random, depth: int) -> str:
    if depth == 0 or source.random() < 0.2:
        return source.choice(["0", "1", "2.5", "7", "1e3", "0.125", "12", "40"])
    inner = random_expression(source, depth - 1)
    if (kind := source.randrange(6)) == 0:
        return f"-{inner}"
    if kind == 1:
        return f"({inner})"
    space = source.choice(["", " "])
    return f"{inner}{space}{source.choice('+-*/')}{space}{random_expression(source, depth - 1)}"


@pytest.mark.parametrize("seed", range(20))
def test_random_expressions_come_to_what_python_makes_of_them(seed: int) -> None:
    source = random.Random(seed)
    compared = 0
    for _ in range(100):
        left, right = random_expression(source, 6), random_expression(source, 3)
        sign = source.choice(["<", "<=", ">", ">=", "==", "!="])
        text = f"{left} {sign} {right}"
        try:
            expected = python_makes(left), python_makes(right), python_makes(text)
        except ZeroDivisionError:
            with pytest.raises(ExpressionError, match="division by zero"):
                only(text)
        else:
            verdict = only(text)
            assert (verdict.left, verdict.right, verdict.holds) == expected, text
            compared += 1
    assert compared > 30


def python_makes(text: str) -> float:
    """Python's own value of the text, all of whose numbers are floats."""
    tree = ast.parse(text, mode="eval")
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            node.value = float(node.value)  # type: ignore[arg-type]
    result: float = eval(compile(tree, "random", "eval"))
    return result


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("", ALLOWED, 0),
        ("1", "expected one of < <= > >= == !=", 1),
        ("1 +", ALLOWED, 3),
        ("loom.rps > @ 5", ALLOWED, 10),
        ("1 @ 5", "expected one of < <= > >= == !=", 1),
        ("1 > * 2", ALLOWED, 4),
        ("1 > 2 > 3", "expected one comparison only", 6),
        ("(1 > 2", ALLOWED, 0),
        ("(1 > 2) > 3", ALLOWED, 1),
        ("1) > 2", ALLOWED, 1),
        ("loom.rps in 3", "expected one of < <= > >= == !=", 9),
        ("+1 > 2", ALLOWED, 0),
        ("not 1 > 2", ALLOWED, 0),
        ("2 ** 3 > 1", ALLOWED, 2),
        ("2 // 3 > 1", ALLOWED, 2),
        ("1 > (2 >> 3)", ALLOWED, 7),
        ("1j > 1", ALLOWED, 0),
        ("True > 1", ALLOWED, 0),
        ("loom > 1", ALLOWED, 0),
        ("loom. rps > 1", ALLOWED, 0),
        ("loom.rps.real > 1", ALLOWED, 0),
        ("(1).real > 1", ALLOWED, 0),
        ("loom.rps() > 1", ALLOWED, 0),
        ("1 > (yield)", ALLOWED, 5),
        ("1 > (await 2)", ALLOWED, 5),
        ("1 if 2 > 3 else 4", ALLOWED, 0),
        ("loom.rps > 1 @", "expected the value of a point", 14),
        ("loom.rps > 1 @ x", "expected the value of a point", 15),
        ("loom.rps > 1 @ 5 + 1", "expected the value of a point", 15),
        ("loom.rps > 1 @ 5 @ 5", "expected the value of a point", 15),
        ("loom.rps @ 5 > 1", "expected one of < <= > >= == !=", 8),
        ("loom.rps > 1 @ -5", "nothing was measured at -5", 15),
        ("loom.rps > 1 @ nan", "nothing was measured at nan", 15),
        ("loom.rps and 1", ALLOWED, 0),
        ("loom.rps > 1 or 1", ALLOWED, 0),
        ("1 = 2", ALLOWED, None),
        ("1 => 2", ALLOWED, None),
        ("1 2 > 3", ALLOWED, None),
        ("1if 2 > 3", ALLOWED, None),
        ("(1 + 2", ALLOWED, None),
        ("__import__('os').name > 1", f'{ALLOWED}, not "\'"', 11),
        ("[1][0] > 1", f"{ALLOWED}, not '['", 0),
        ("1 > 2 # 3", f"{ALLOWED}, not '#'", 6),
        ("(x := 2) > 1", f"{ALLOWED}, not ':'", 3),
        ("1 > é", f"{ALLOWED}, not 'é'", 4),
        ("1 > ٣", f"{ALLOWED}, not '٣'", 4),
        ("nginx.rps > 1", "no server 'nginx'; there are: aiohttp, sync, loom", 0),
        ("1 < 2 * threads.rps", "no server 'threads'", 8),
        ("loom.speed > 1", "no figure 'speed'; there are: rps, p50, p95, p99, time_per_re", 5),
        ("loom.__class__ > 1", "no figure '__class__'", 5),
        ("loom.rps > 1 @ 7", "nothing was measured at 7; there is: 5, 40", 15),
        ("1 > 2 @ 7", "nothing was measured at 7", 8),
        ("1 / (2 - 2) > 1", "division by zero", 2),
        ("loom.rps / loom.failures > 1 @ 40", "division by zero at 40", 9),
        ("1e999 > 1", "this is too large", 0),
        ("1e308 * 10 > 1", "this is too large", 6),
        ("9" * 350 + " > 1", "this is too large", 0),
        ("(" * 198 + "1" + ")" * 197 + " > 1", ALLOWED, None),
        ("-" * 500 + "1 > 1", f"expected at most {LONGEST} characters", LONGEST),
    ],
)
def test_a_mistake_is_shown_with_its_place(text: str, message: str, place: int | None) -> None:
    with pytest.raises(ExpressionError) as caught:
        verdicts(parse(text), FIGURES)
    assert isinstance(caught.value, UsageError)
    said, shown, caret = str(caught.value).split("\n")
    assert message in said
    assert shown == f"  {text}"
    # Where no place is given, Python's versions differ in it.
    assert re.fullmatch(" *\\^", caret) if place is None else caret == f"  {' ' * place}^"


@pytest.mark.parametrize("text", ["1_000 > 999", "0x10 == 16", "  1 > 0 ", "1 >\n0", "((1)) > (0)"])
def test_what_python_reads_as_numbers_is_one(text: str) -> None:
    assert only(text).holds


def test_a_servers_name_may_be_a_word_of_python() -> None:
    assertion = parse("async.rps == 2 * not-in.failures")
    assert [assertion.figure(node) for node in figures_in(assertion)] == [
        ("async", "rps"),
        ("not-in", "failures"),
    ]


@pytest.mark.parametrize(
    "side", ["+".join(["1"] * 190), "-" * 390 + "1", "(" * 190 + "1" + ")" * 190]
)
def test_the_deepest_expressions_are_worked_out(side: str) -> None:
    assert only(f"{side} > 0").holds


def test_a_point_that_one_of_its_servers_lacks_is_a_mistake() -> None:
    figures = Figures(outcome({"loom": {5: (9,), 40: (9,)}, "sync": {5: (9,)}}))
    with pytest.raises(ExpressionError, match="sync was not measured at 40"):
        verdicts(parse("loom.rps > sync.rps"), figures)


def test_sides_that_look_alike_are_shown_in_full() -> None:
    assert only("1.00000001 > 1").line() == "holds: 1.00000001 > 1.0 (1.00000001 > 1)"
    assert only("loom.rps < 5 @ 40").line() == "FAILS at 40: 385 < 5 (loom.rps < 5 @ 40)"


def saved(found: Outcome, directory: Path) -> Path:
    file = directory / "results.json"
    file.write_text(found.to_json())
    return file


def call(*arguments: object) -> Result:
    return CliRunner().invoke(lab, ["assert", *map(str, arguments)], catch_exceptions=False)


def test_what_holds_exits_with_0(tmp_path: Path) -> None:
    result = call(saved(usual(), tmp_path), "loom.rps >= 5 * sync.rps @ 40", "loom.p99 < 200")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "holds at 40: 385 >= 49.5 (loom.rps >= 5 * sync.rps @ 40)",
        "holds at 5: 103 < 200 (loom.p99 < 200)",
        "holds at 40: 103 < 200 (loom.p99 < 200)",
    ]


def test_one_that_fails_exits_with_1_and_the_others_are_still_shown(tmp_path: Path) -> None:
    saved(usual(), tmp_path)
    result = call(tmp_path, "loom.rps >= 300", "1 < 2")
    assert result.exit_code == 1
    assert [line.partition(":")[0] for line in result.stdout.splitlines()] == [
        "FAILS at 5",
        "holds at 40",
        "holds",
    ]


def test_a_mistake_exits_with_2_before_anything_is_printed(tmp_path: Path) -> None:
    result = call(saved(usual(), tmp_path), "loom.rps > 0", "loom.rps >")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"Error: {ALLOWED} on each side of a comparison",
        "  loom.rps >",
        "            ^",
    ]


def test_a_negative_number_may_come_first(tmp_path: Path) -> None:
    assert call(saved(usual(), tmp_path), "--", "-1 < loom.rps").exit_code == 0


def test_an_interrupted_run_asserts_nothing(tmp_path: Path) -> None:
    result = call(saved(replace(usual(), complete=False), tmp_path), "loom.rps > 0")
    assert result.exit_code == 2
    assert "interrupted" in result.stderr


@pytest.mark.parametrize("arguments", [[], ["results.json"], ["nowhere.json", "1 < 2"]])
def test_what_is_missing_exits_with_2(arguments: list[str], tmp_path: Path) -> None:
    assert call(*arguments).exit_code == 2


def test_failures_are_those_of_all_repeats() -> None:
    run = outcome({"sync": {5: (9.0, 9.0)}})
    for sample in run.samples:
        object.__setattr__(sample, "result", load_result(9.0, errors={"reset": 2}))
    assert verdicts(parse("sync.failures == 4"), Figures(run))[0].holds
