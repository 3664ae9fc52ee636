"""Results that are read again: joined, compared, and refused when they are not whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from django_loom.lab.cli import results as cli_module
from django_loom.lab.cli.main import lab
from django_loom.lab.exceptions import UsageError
from django_loom.lab.outcomes.joined_outcome import NOT_THE_SAME, RUNS, differing, joined
from django_loom.lab.outcomes.outcome import Outcome
from django_loom.lab.outcomes.outcome_file import read_outcome
from django_loom.lab.reports.comparison import compare
from django_loom.lab.reports.comparison_files import NONE_SHOWN, comparison_page, markdown
from tests.lab.outcomes import load_result, outcome, usual

STEADY = {"loom": {5: (48.0, 49.0, 49.5), 40: (380.0, 385.0, 396.0)}}
COMPARISON_FILES = {"comparison.html", "comparison.md"} | {
    f"{chart}.{kind}" for chart in ("rate", "time") for kind in ("svg", "png")
}
FASTER = {"loom": {5: (48.5, 49.2, 49.4), 40: (760.0, 770.0, 792.0)}}


def call(*arguments: object) -> Result:
    return CliRunner().invoke(lab, [str(each) for each in arguments], catch_exceptions=False)


def later(found: Outcome, **conditions: Any) -> Outcome:
    """The same samples, as if of another run."""
    return replace(
        found,
        started="2026-01-03T03:04:05+00:00",
        conditions={**found.conditions, **conditions},
    )


def saved(found: Outcome, directory: Path) -> Path:
    directory.mkdir(parents=True)
    directory.joinpath("results.json").write_text(found.to_json())
    return directory


def test_results_are_found_by_their_directory_and_by_their_file(tmp_path: Path) -> None:
    directory = saved(usual(), tmp_path / "run")
    assert read_outcome(directory) == usual()
    assert read_outcome(directory / "results.json") == usual()


def changed(change: Any) -> str:
    fields = json.loads(usual().to_json())
    change(fields)
    return json.dumps(fields)


BROKEN = {
    "nothing": ("", "expected a results.json"),
    "cut": (usual().to_json()[:900], "expected a results.json"),
    "nested": ("[" * 100_000, "results.json: expected"),
    "other version": (changed(lambda f: f.update(format=99)), "of format 99; this version reads"),
    "only a format": ('{"format": 2}', "changed or cut"),
    "no samples": (changed(lambda f: f.update(samples=None)), "changed or cut"),
    "a field more": (changed(lambda f: f.update(more=1)), "changed or cut"),
    "a field less": (changed(lambda f: f["samples"][3].pop("wait")), "changed or cut"),
    "labels": (changed(lambda f: f.update(labels=["loom"])), "changed or cut"),
    "conditions": (changed(lambda f: f.update(conditions=[])), "conditions by their names"),
    "a server": (changed(lambda f: f["samples"][3].update(server="x")), "sample 3 is of 'x'"),
    "a text": (changed(lambda f: f["samples"][3].update(x="5")), "sample 3 has '5' where a"),
    "no number": (changed(lambda f: f["samples"][0].update(x=float("nan"))), "0 has nan where"),
    "a truth": (changed(lambda f: f["samples"][0].update(clients=True)), "0 has True where"),
    "below zero": (
        changed(lambda f: f["samples"][0]["result"]["latency"].update(p99=-1)),
        "sample 0 has -1 where",
    ),
    "a status": (
        changed(lambda f: f["samples"][0]["result"].update(statuses={"ok": 1})),
        "changed or cut",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_results_are_refused_in_one_line_and_nothing_is_written(
    name: str, tmp_path: Path
) -> None:
    text, message = BROKEN[name]
    tmp_path.joinpath("results.json").write_text(text)
    out = tmp_path / "out"
    result = call("report", tmp_path, "--out", out)
    assert result.exit_code == 2
    assert message in result.stderr
    assert str(tmp_path / "results.json") in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not out.exists()


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    tmp_path.joinpath("results.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(UsageError, match="changed or cut"):
        read_outcome(tmp_path)


def test_missing_results_are_refused_with_their_path(tmp_path: Path) -> None:
    result = call("report", tmp_path / "none")
    assert result.exit_code == 2
    assert f"cannot read {tmp_path / 'none'}: No such file" in result.stderr
    assert "results.json: No such file" in call("report", tmp_path).stderr


def test_an_experiment_that_is_unknown_is_refused(tmp_path: Path) -> None:
    run = saved(replace(usual(), experiment="speed"), tmp_path / "run")
    result = call("report", run, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "no experiment 'speed'" in result.stderr
    assert not tmp_path.joinpath("out").exists()


def test_joined_runs_are_more_repeats_of_their_points() -> None:
    both = joined([later(outcome(STEADY)), outcome(FASTER)])
    assert len(both.samples) == 12
    assert both.started == "2026-01-02T03:04:05+00:00"
    assert both.complete
    assert both.conditions[RUNS] == [later(usual()).started, usual().started]
    assert NOT_THE_SAME not in both.conditions


def test_joined_runs_may_have_different_servers() -> None:
    both = joined([outcome(STEADY), outcome({"sync": {5: (9.9,)}}, complete=False)])
    assert list(both.labels) == ["loom", "sync"]
    assert not both.complete


def test_joined_runs_keep_the_notes_of_all() -> None:
    runs = [replace(usual(), notes=["a", "b"]), later(replace(usual(), notes=["b", "c"]))]
    assert joined(runs).notes == ["a", "b", "c"]


def test_conditions_that_differ_are_named_and_kept_for_each_run() -> None:
    both = joined([outcome(STEADY), later(outcome(FASTER), python="CPython 3.14.0", more=1)])
    assert both.conditions[NOT_THE_SAME] == ["python", "more"]
    assert list(both.conditions["python"].values()) == ["CPython 3.13.0", "CPython 3.14.0"]
    assert list(both.conditions["more"].values()) == [None, 1]
    assert both.conditions["keep-alive"] is True


def test_the_load_of_the_machine_is_no_difference() -> None:
    assert differing([{"load": [1], "a": 1}, {"load": [2], "a": 1}]) == []


def test_one_run_is_left_as_it_is() -> None:
    assert joined([usual()]) == usual()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (usual(), "given twice"),
        (later(replace(usual(), experiment="io-time")), "of one experiment, not of concurrency"),
        (later(replace(usual(), subject="/x/")), "not of concurrency .* and concurrency of /x/"),
        (later(replace(usual(), labels={"loom": "other"})), "the server loom is 'Django, loom' in"),
        (
            later(replace(usual(), samples=[replace(usual().samples[0], wait=0.2)])),
            "aiohttp at 5 is not the same load",
        ),
    ],
)
def test_runs_that_do_not_fit_are_refused(other: Outcome, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        joined([usual(), other])


def test_runs_are_joined_into_a_report(tmp_path: Path) -> None:
    runs = [saved(usual(), tmp_path / "a"), saved(later(usual(), python="x"), tmp_path / "b")]
    result = call("report", *runs, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert "The runs differ in their conditions: python" in result.stdout
    written = Path(result.stdout.splitlines()[-1].removeprefix("Report: ")).parent
    assert written.name.startswith("concurrency-joined-")
    assert len(read_outcome(written).samples) == 36


def test_real_differences_are_told_from_those_that_may_be_chance() -> None:
    found = compare(outcome(STEADY), later(outcome(FASTER)))
    assert found.sentences == [
        "Django, loom, at 40: requests/s 2 times (1.92 to 2.08) (385 → 770)."
    ]
    five, forty = found.points
    assert five.row()[:3] == ["Django, loom", "5", "49.0 → 49.2, not shown"]
    assert forty.row()[:3] == ["Django, loom", "40", "385 → 770: 2 times"]
    assert forty.row()[3:] == [*(f"{ms} → {ms}, not shown" for ms in (100, 102, 103)), "-"]


def test_a_change_of_a_percentile_is_found() -> None:
    slow = outcome(STEADY)
    for number, sample in enumerate(slow.samples):
        latency = load_result(1).latency
        assert latency
        result = replace(sample.result, latency=replace(latency, p99=300.0 + number))
        object.__setattr__(sample, "result", result)
    (first, second) = compare(outcome(STEADY), later(slow)).sentences
    assert first.startswith("Django, loom, at 5: p99 ms 2.9")
    assert "requests/s" not in first + second


def test_the_same_figures_are_no_difference() -> None:
    found = compare(usual(), later(usual()))
    assert found.sentences == []
    assert NONE_SHOWN in markdown(found)
    assert NONE_SHOWN in comparison_page(found, {})


@pytest.mark.parametrize(
    ("repeats", "said"),
    [(1, "fewer than 3"), (2, "fewer than 3"), (3, "1 in 10 pairs"), (4, "1 in 35 pairs"), (5, "")],
)
def test_few_repeats_are_warned_of(repeats: int, said: str) -> None:
    run = outcome({"loom": {5: [49.0 + n for n in range(repeats)]}})
    found = compare(run, later(run))
    assert said in " ".join(found.notes)
    assert bool(found.notes) == bool(said)


def test_two_repeats_show_nothing_however_far_apart() -> None:
    before, after = outcome({"loom": {5: (1.0, 1.0)}}), outcome({"loom": {5: (9.0, 9.0)}})
    assert compare(before, later(after)).sentences == []


def test_what_only_one_run_has_is_named() -> None:
    found = compare(outcome({**STEADY, "sync": {5: (9.9,) * 3}}), later(outcome(STEADY)))
    assert "Only before, so not compared: sync at 5." in found.notes
    assert [point.server for point in found.points] == ["loom", "loom"]


def test_failures_and_interrupts_are_noted() -> None:
    broken = outcome({"loom": {5: (49.0, 0.0, 48.0)}}, complete=False)
    object.__setattr__(broken.samples[0], "result", load_result(49.0, errors={"reset": 3}))
    found = compare(outcome({"loom": {5: (49.0, 48.0, 49.0)}}), later(broken))
    assert any("after was interrupted" in note for note in found.notes)
    assert any("More requests failed after" in note for note in found.notes)
    assert found.points[0].row()[-1] == "0 → 3"


def test_a_point_without_answers_is_compared_to_nothing() -> None:
    none = outcome({"loom": {5: (0.0, 0.0, 0.0)}})
    found = compare(outcome({"loom": {5: (49.0, 48.0, 49.0)}}), later(none))
    assert found.points[0].row()[2] == "49.0 → -"
    assert found.sentences == []


def test_a_comparison_is_written_and_its_sentences_printed(tmp_path: Path) -> None:
    before = saved(outcome(STEADY), tmp_path / "before")
    after = saved(later(outcome(FASTER), python="<3.14>"), tmp_path / "after")
    result = call("report", "--compare", before, after, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert "at 40: requests/s 2 times" in result.stdout
    assert "differ in their conditions: python" in result.stdout
    (written,) = tmp_path.joinpath("out").iterdir()
    assert {path.name for path in written.iterdir()} == COMPARISON_FILES
    page = written.joinpath("comparison.html").read_text(encoding="utf-8")
    assert "&lt;3.14&gt;" in page
    assert "385 → 770: 2 times" in page
    text = written.joinpath("comparison.md").read_text(encoding="utf-8")
    assert "| python | CPython 3.13.0 | <3.14> |" in text


@pytest.mark.parametrize("runs", [1, 3])
def test_a_comparison_is_of_two(runs: int, tmp_path: Path) -> None:
    given = [saved(usual(), tmp_path / str(number)) for number in range(runs)]
    result = call("report", "--compare", *given, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert f"--compare takes two runs, BEFORE and AFTER, not {runs}" in result.stderr


def test_different_experiments_are_not_compared(tmp_path: Path) -> None:
    runs = [
        saved(usual(), tmp_path / "a"),
        saved(later(replace(usual(), experiment="io-time")), tmp_path / "b"),
    ]
    result = call("report", "--compare", *runs, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "expected runs of one experiment" in result.stderr
    assert not tmp_path.joinpath("out").exists()


def test_a_comparison_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise UsageError("no")

    runs = [saved(usual(), tmp_path / "a"), saved(later(usual()), tmp_path / "b")]
    monkeypatch.setattr(cli_module, "write_comparison", fail)
    assert call("report", "--compare", *runs, "--out", tmp_path / "out").exit_code == 2
    tmp_path.joinpath("file").write_text("")
    monkeypatch.undo()
    result = call("report", "--compare", *runs, "--out", tmp_path / "file")
    assert result.exit_code == 2
    assert "cannot write" in result.stderr
