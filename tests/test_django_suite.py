"""The logic of `make django-suite`: whoever reads its verdict must be able to trust it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.django_suite import accepted, chunks, selection
from tests.django_suite.baseline import Baseline, worth_a_second_look
from tests.django_suite.compare import differences, within
from tests.django_suite.events import ChunkLog, EventLog
from tests.django_suite.modes import MODES
from tests.django_suite.outcomes import ERROR, FAILED, HUNG, LOST, PASSED, SKIPPED, TestRecord
from tests.django_suite.process import blame
from tests.django_suite.report import Report
from tests.django_suite.suite import ModeRun


def read(path: Path, *events: dict[str, Any]) -> ChunkLog:
    path.write_text("\n".join(json.dumps(event) for event in events))
    return ChunkLog.read(path)


def plan(*tests: str) -> dict[str, Any]:
    return {"event": "plan", "tests": list(tests)}


def start(test: str) -> dict[str, Any]:
    return {"event": "start", "test": test}


def stop(test: str) -> dict[str, Any]:
    return {"event": "stop", "test": test, "seconds": 0.5}


def outcome(test: str, outcome: str) -> dict[str, Any]:
    return {"event": "outcome", "test": test, "outcome": outcome}


def records(**outcomes: str) -> dict[str, TestRecord]:
    return {test: TestRecord(outcome) for test, outcome in outcomes.items()}


def test_the_worst_of_several_reports_about_one_test_counts(tmp_path: Path) -> None:
    log = read(tmp_path / "log", plan("p.C.x"), outcome("p.C.x", PASSED), outcome("p.C.x", ERROR))
    assert log.settled()["p.C.x"].outcome == ERROR


def test_a_failed_class_fixture_counts_to_each_test_of_the_class(tmp_path: Path) -> None:
    log = read(tmp_path / "log", plan("p.C.x", "p.D.y"), outcome("setUpClass (p.C)", ERROR))
    assert {test: record.outcome for test, record in log.settled().items()} == {
        "p.C.x": ERROR,
        "p.D.y": LOST,
    }


def test_a_planned_test_without_outcome_is_lost(tmp_path: Path) -> None:
    assert read(tmp_path / "log", plan("p.C.x")).settled()["p.C.x"].outcome == LOST


def test_half_a_line_at_the_end_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(json.dumps(outcome("p.C.x", PASSED)) + '\n{"event": "outc')
    assert ChunkLog.read(path).records["p.C.x"].outcome == PASSED


def test_a_forked_process_does_not_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = EventLog(tmp_path / "log")
    monkeypatch.setattr("os.getpid", lambda: -1)
    log.write("end")
    assert not log.path.exists()


def test_the_running_test_is_blamed_for_a_death(tmp_path: Path) -> None:
    log = read(tmp_path / "log", plan("p.C.x", "p.C.y"), start("p.C.x"))
    assert blame(log) == ["p.C.x"]


def test_the_next_test_is_blamed_for_a_death_between_two(tmp_path: Path) -> None:
    events = start("p.C.x"), outcome("p.C.x", PASSED), stop("p.C.x")
    log = read(tmp_path / "log", plan("p.C.x", "p.C.y", "p.C.z"), *events)
    assert blame(log) == ["p.C.y"]


def test_a_class_is_blamed_when_none_of_its_tests_could_start(tmp_path: Path) -> None:
    log = read(tmp_path / "log", plan("p.C.x", "p.C.y", "p.D.z"))
    assert blame(log) == ["p.C.x", "p.C.y"]


def test_a_test_that_passes_there_and_not_here_differs() -> None:
    ours = records(a=PASSED, b=FAILED, c=SKIPPED, d=HUNG)
    stock = records(a=PASSED, b=PASSED, c=PASSED, d=PASSED, e=PASSED)
    found = {difference.test: difference.outcome for difference in differences("b", ours, stock)}
    assert found == {"b": FAILED, "c": SKIPPED, "d": HUNG, "e": "absent"}


def test_a_test_that_fails_on_both_does_not_differ() -> None:
    ours, stock = records(a=FAILED, b=SKIPPED), records(a=ERROR, b=SKIPPED)
    assert not list(differences("b", ours, stock))


def test_what_is_bad_only_here_differs_even_if_skipped_or_absent_there() -> None:
    found = differences("b", records(a=ERROR, b=ERROR), records(a=SKIPPED))
    assert [difference.stock for difference in found] == [SKIPPED, "absent"]


def test_the_stock_engine_is_asked_about_the_class_when_its_fixture_failed() -> None:
    run = ModeRun(
        "b", tests={"p.C.x": TestRecord(PASSED), "tearDownClass (p.D)": TestRecord(ERROR)}
    )
    assert worth_a_second_look([run]) == {"p.D"}


def test_a_baseline_is_read_as_it_was_saved(tmp_path: Path) -> None:
    stored = Baseline()
    stored.replace(["p"], ModeRun("a", tests={"p.C.x": TestRecord(PASSED, "", 0.1)}))
    stored.save(tmp_path / "baseline.json")
    assert Baseline.load(tmp_path / "baseline.json") == stored


def test_a_baseline_forgets_what_it_replaces() -> None:
    stored = Baseline({"p", "pq"}, {"p.C.x": TestRecord(PASSED), "pq.C.x": TestRecord(PASSED)})
    stored.replace(["p"], ModeRun("a", tests={"p.C.y": TestRecord(PASSED)}))
    assert set(stored.tests) == {"p.C.y", "pq.C.x"}


def test_single_tests_go_to_the_chunk_of_their_package() -> None:
    (chunk,) = chunks.split_tests(["p.C.x", "q.C.y", "p.C.z"])
    assert (chunk.labels, chunk.only) == (["p", "q"], ["p.C.x", "p.C.z", "q.C.y"])


ENTRY = '[[accepted]]\ntest = "p.C.x"\nreason = "counts threads"\nmodes = ["c"]\n'


def test_an_accepted_difference_is_no_longer_unexpected(tmp_path: Path) -> None:
    (tmp_path / "accepted.toml").write_text(ENTRY)
    run = ModeRun("c", tests={"p.C.x": TestRecord(FAILED)})
    report = Report("sqlite", 1, [run], list(differences("c", run.tests, {})))
    report.sort_out(accepted.load("sqlite", "6.1", tmp_path / "accepted.toml"))
    assert (report.ok, len(report.accepted)) == (True, 1)


def test_an_accepted_test_that_passes_is_stale(tmp_path: Path) -> None:
    (tmp_path / "accepted.toml").write_text(ENTRY)
    report = Report("sqlite", 1, [ModeRun("c", tests={"p.C.x": TestRecord(PASSED)})])
    report.sort_out(accepted.load("sqlite", "6.1", tmp_path / "accepted.toml"))
    assert report.stale == ["p.C.x passes in (c)"]


def test_an_entry_for_another_version_does_not_apply(tmp_path: Path) -> None:
    (tmp_path / "accepted.toml").write_text(ENTRY + 'django = ["5.2"]\n')
    assert not accepted.load("sqlite", "6.1", tmp_path / "accepted.toml")


@pytest.mark.parametrize("text", ['test = "p.C.x"\n', 'reason = "none"\n', ENTRY[13:] + "x = 1\n"])
def test_an_entry_must_be_complete_and_known(tmp_path: Path, text: str) -> None:
    (tmp_path / "accepted.toml").write_text("[[accepted]]\n" + text)
    with pytest.raises(accepted.AcceptedError):
        accepted.load("sqlite", "6.1", tmp_path / "accepted.toml")


def test_the_list_of_accepted_differences_stays_short(tmp_path: Path) -> None:
    (tmp_path / "accepted.toml").write_text(ENTRY * (accepted.MOST + 1))
    with pytest.raises(accepted.AcceptedError, match="may have 25"):
        accepted.load("sqlite", "6.1", tmp_path / "accepted.toml")


def test_a_mode_with_our_handler_runs_the_packages_that_send_requests() -> None:
    packages = ["admin_scripts", "admin_views", "asgi", "queries"]
    chosen = {letter: selection.choose(packages, MODES[letter], ci=False) for letter in "bd"}
    assert chosen == {"b": packages, "d": ["admin_views", "asgi"]}


def test_in_ci_each_mode_runs_a_part() -> None:
    packages = ["admin_views", "asgi", "queries"]
    chosen = {letter: selection.choose(packages, MODES[letter], ci=True) for letter in "bd"}
    assert chosen == {"b": ["asgi", "queries"], "d": ["asgi"]}


def test_records_are_found_by_package_class_or_test() -> None:
    all_of_them = records(**{"p.C.x": PASSED, "p.C.y": PASSED, "pq.C.x": PASSED})
    assert set(within(["p"], all_of_them)) == {"p.C.x", "p.C.y"}
    assert set(within(["p.C.y", "pq.C"], all_of_them)) == {"p.C.y", "pq.C.x"}


def test_what_several_children_of_a_chunk_count_is_added_up(tmp_path: Path) -> None:
    counts = {"event": "counts", "counts": {"requests": 2}}
    assert read(tmp_path / "log", counts, counts).counts == {"requests": 4}
