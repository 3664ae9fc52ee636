"""scripts/mutants changes what it should, and asks tests that are there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from scripts.mutants.operators import mutants
from scripts.mutants.plan import MODULES, Job, chosen_tests, jobs, modules
from scripts.mutants.results import Results

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("release()", {"pass"}),
        ("await release()", {"pass"}),
        ("self.call = call", {"pass"}),
        ("del self.call", {"pass"}),
        ("self.used += size", {"pass"}),
        ("a.x = a.y = z", {"a.x = z", "a.y = z"}),
        ("x, self.x = self.x, y", {"x, = (self.x,)"}),
        ("raise", {"pass"}),
        ("with lock:\n    x = y", {"(__import__('contextlib').nullcontext())"}),
        ("try:\n    x = y\nexcept BaseException:\n    x = z", {"(Exception)"}),
        ("x = not y", {"(bool(y))"}),
        ("x = y is z", {"(y is not z)"}),
        ("x = y < z", {"(y <= z)"}),
        ("x = y - z", {"(y + z)"}),
        ("x = y and z", {"(y)", "(z)"}),
        ("x = y if z else v", {"(True)", "(False)"}),
        ("while x:\n    break", {"(False)", "continue"}),
        ("def f(x=True):\n    x = y", {"(False)"}),
        ("def f():\n    return x", {"return None"}),
        ("async def f():\n    return", {"pass"}),
        ("x = 0", {"(1)"}),
    ],
)
def test_what_is_put_in_a_place(source: str, expected: set[str]) -> None:
    assert {mutant.after for mutant in mutants(source)} == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""What it is."""',
        "x: bool | None = y",
        "def f(x: int | None) -> int | None:\n    x = y",
        "if TYPE_CHECKING:\n    import x",
        "x = call()",
        "LIMIT = 100",
    ],
)
def test_what_is_left_as_it_is(source: str) -> None:
    assert mutants(source) == []


def test_the_rest_of_the_module_stays_letter_by_letter() -> None:
    source = "# é\nif á   is b:  # as it was\n    release( 1,2 )\n"
    sources = {(mutant.before, mutant.after): mutant.source for mutant in mutants(source)}
    assert sources == {
        ("á is b", "(True)"): "# é\nif (True):  # as it was\n    release( 1,2 )\n",
        ("á is b", "(False)"): "# é\nif (False):  # as it was\n    release( 1,2 )\n",
        ("release( 1,2 )", "pass"): "# é\nif á   is b:  # as it was\n    pass\n",
        ("1", "(2)"): "# é\nif á   is b:  # as it was\n    release( (2),2 )\n",
    }


@pytest.mark.parametrize("module", modules(ROOT, MODULES))
def test_the_mutants_of_a_module_are_python_and_have_tests(module: str) -> None:
    assert all((ROOT / name).exists() for name in chosen_tests(module))
    source = (ROOT / "src" / "django_loom" / f"{module}.py").read_text()
    found = mutants(source)
    assert all(ast.parse(mutant.source) for mutant in found[::10])
    assert source not in {mutant.source for mutant in found}


def test_a_module_without_tests_is_refused() -> None:
    with pytest.raises(LookupError, match="no tests for conf"):
        chosen_tests("conf")


def test_a_seed_chooses_the_same_mutants_again() -> None:
    some, same, others = (jobs(ROOT, ["bridge/*"], 20, seed) for seed in (1, 1, 2))
    assert len(some) == 20
    assert some == same != others
    assert {job.key for job in some} < {job.key for job in jobs(ROOT, ["bridge/*"], None, 1)}


def test_results_are_there_in_the_next_run(tmp_path: Path) -> None:
    mutant, other, third = mutants("a()\nb()\nc()")
    killed, survivor, new = (Job("bridge/x", each, ()) for each in (mutant, other, third))
    results = Results(tmp_path / "folder" / "results.jsonl")
    results.note(killed, True)
    results.note(survivor, False)
    again = Results(tmp_path / "folder" / "results.jsonl")
    assert [again[job] for job in (killed, survivor, new)] == [True, False, None]
    again.note(survivor, True)  # a test was written
    assert Results(tmp_path / "folder" / "results.jsonl")[survivor] is True
