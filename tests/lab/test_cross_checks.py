"""--cross-check: what ab and wrk print is read right, and what goes wrong with them is a remark."""

from __future__ import annotations

import csv
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from django_loom.lab.cli.main import lab
from django_loom.lab.generators.cross_checks import NO_KEEP_ALIVE, NO_KEEP_ALIVE_NOTE, cross_checked
from django_loom.lab.generators.other_generators import (
    AB,
    WRK,
    Found,
    Tool,
    missing_note,
    on_the_path,
)
from django_loom.lab.load.plan import LoadPlan
from django_loom.lab.outcomes.joined_outcome import joined
from django_loom.lab.outcomes.outcome import CrossCheck, Outcome, Sample
from django_loom.lab.outcomes.outcome_file import read_outcome
from django_loom.lab.processes.programs import ProgramError, run_program
from django_loom.lab.reports.report_files import write_report
from django_loom.lab.reports.tables import report
from tests.lab.outcomes import load_result, usual

AB_OUTPUT = """\
This is ApacheBench, Version 2.3 <$Revision: 1923142 $>
Benchmarking 127.0.0.1 (be patient).....done

Concurrency Level:      20
Time taken for tests:   2.000 seconds
Complete requests:      390
Failed requests:        12
   (Connect: 0, Receive: 0, Length: 12, Exceptions: 0)
Keep-Alive requests:    390
Requests per second:    195.00 [#/sec] (mean)
"""
WRK_OUTPUT = """\
Running 2s test @ http://127.0.0.1:8000/
  1 threads and 20 connections
  380 requests in 2.01s, 61.19KB read
Requests/sec:    189.05
Transfer/sec:     30.45KB
"""
URL = "http://127.0.0.1:1/page/"
PLAN = LoadPlan(url=URL, clients=20, requests=40, warmup=0, headers=(("Accept", "a b"),))
FIRST = {
    "ab": ["ab", "-q", "-r", "-k", "-n", "390", "-c", "20", "-s", "60"],
    "wrk": ["wrk", "-t", "1", "-c", "20", "-d", "2s", "--timeout", "60s"],
}
SAMPLES = [Sample("loom", 20, 20, 0.1, load_result(rate)) for rate in (190, 195, 400)]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of programs that stands first in the path."""
    directory = tmp_path / "programs"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
    return directory


def program(directory: Path, name: str, *lines: str) -> None:
    file = directory / name
    file.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    file.chmod(0o755)


def prints(directory: Path, name: str, output: str) -> None:
    """A program that prints this, and notes its arguments."""
    directory.joinpath("output").write_text(output)
    noted, printed = directory / "arguments", directory / "output"
    program(directory, name, f'for each in "$@"; do echo "$each"; done > {noted}', f"cat {printed}")


def test_the_figures_of_ab() -> None:
    assert AB.read(AB_OUTPUT) == Found(195.0, kept_alive=True)
    assert AB.read(AB_OUTPUT.replace("requests:    390", "requests:    0")) == Found(195.0, False)


def test_ab_without_keep_alive_does_not_say_what_it_kept() -> None:
    output = AB_OUTPUT.replace("Keep-Alive requests:    390\n", "")
    assert AB.read(output) == Found(195.0, None)


def test_other_statuses_are_taken_off() -> None:
    assert AB.read(AB_OUTPUT + "Non-2xx responses:      190\n") == Found(100.0, True)
    found = WRK.read(WRK_OUTPUT + "  Non-2xx or 3xx responses: 190\n")
    assert found.requests_per_second == pytest.approx(189.05 / 2)


def test_the_figures_of_wrk() -> None:
    assert WRK.read(WRK_OUTPUT) == Found(189.05)


@pytest.mark.parametrize(
    ("tool", "output", "message"),
    [
        (AB, AB_OUTPUT.replace("Receive: 0", "Receive: 3"), "some requests failed: (Connect: 0, R"),
        (
            WRK,
            WRK_OUTPUT + "  Socket errors: connect 0, read 2, write 0, timeout 0\n",
            "some requests failed: Socket errors: connect 0, read 2",
        ),
        (AB, "ab 3.0", "its output is not that of a version"),
        (WRK, "", "its output is not that of a version"),
    ],
)
def test_what_is_no_figure_is_said(tool: Tool, output: str, message: str) -> None:
    with pytest.raises(ProgramError) as raised:
        tool.read(output)
    assert str(raised.value).startswith(message)


def test_the_commands_have_the_plan_in_them() -> None:
    ends = ["-H", "Accept: a b", URL]
    assert AB.command(PLAN, 390) == [
        *["ab", "-q", "-r", "-k", "-n", "390", "-c", "20", "-s", "60"],
        *ends,
    ]
    assert WRK.command(PLAN, 390) == [
        *["wrk", "-t", "1", "-c", "20", "-d", "2s", "--timeout", "60s"],
        *ends,
    ]


def test_a_run_without_keep_alive_is_repeated_without() -> None:
    plan = replace(PLAN, keep_alive=False)
    assert "-k" not in AB.command(plan, 390)
    assert WRK.command(plan, 390)[-3:] == ["-H", "Connection: close", URL]


def test_ab_sends_one_request_for_each_client_at_least() -> None:
    assert AB.command(PLAN, 3)[4:6] == ["-n", "20"]


def test_each_tool_repeats_the_point_for_as_long_as_it_may(programs: Path) -> None:
    prints(programs, "ab", AB_OUTPUT)
    (check,) = cross_checked([AB], ("loom", 20), PLAN, SAMPLES)
    assert check == CrossCheck("ab", "loom", 20, 195.0)
    # Two seconds of the 195 requests per second that ours had in the median.
    assert "390" in programs.joinpath("arguments").read_text().splitlines()


def test_what_was_not_measured_is_not_cross_checked() -> None:
    assert list(cross_checked([AB], ("loom", 40), PLAN, SAMPLES)) == []


def test_keep_alive_that_only_ab_did_not_get_is_remarked(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prints(programs, "ab", AB_OUTPUT.replace("requests:    390", "requests:    0"))
    monkeypatch.setattr(
        "django_loom.lab.generators.cross_checks.wait_until_idle", lambda plan: True
    )
    (check,) = cross_checked([AB], ("loom", 20), PLAN, SAMPLES)
    assert check.remark == NO_KEEP_ALIVE
    monkeypatch.setattr(
        "django_loom.lab.generators.cross_checks.wait_until_idle", lambda plan: False
    )
    (check,) = cross_checked([AB], ("loom", 20), PLAN, SAMPLES)
    assert check.remark == ""


@pytest.mark.parametrize(
    ("lines", "remark"),
    [
        (("echo 'no such option' >&2", "exit 22"), "wrk failed: no such option"),
        (("exit 1",), "wrk failed: it wrote nothing"),
        (("echo hello",), "its output is not that of a version that the lab knows"),
    ],
)
def test_a_tool_that_fails_is_a_remark(programs: Path, lines: list[str], remark: str) -> None:
    program(programs, "wrk", *lines)
    (check,) = cross_checked([WRK], ("loom", 20), PLAN, SAMPLES)
    assert check == CrossCheck("wrk", "loom", 20, None, remark)


def test_a_program_that_does_not_end_is_ended(programs: Path) -> None:
    program(programs, "endless", "exec sleep 600")
    with pytest.raises(ProgramError, match="endless did not end within 0 s"):
        run_program(["endless"], 0.2, None)


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(ProgramError, match="no-such-program cannot be run: No such file"):
        run_program(["no-such-program"], 1.0, None)


def test_versions_are_read(programs: Path) -> None:
    program(programs, "wrk", "echo 'wrk debian/4.1.0-3+b2 [epoll]' >&2", "exit 1")
    program(programs, "ab", "echo 'This is ApacheBench, Version 2.3 <$Revision$>'")
    assert (WRK.version(), AB.version()) == ("4.1.0", "2.3")


def test_tools_that_are_missing_are_noted_in_one_line(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(programs))
    assert missing_note(on_the_path()) == [
        "Nothing was cross-checked: neither ab nor wrk is on the path."
    ]
    program(programs, "ab")
    assert missing_note(on_the_path()) == ["Cross-checked with ab only: wrk is not on the path."]
    program(programs, "wrk")
    assert missing_note(on_the_path()) == []


def checked() -> Outcome:
    checks = [
        CrossCheck("ab", "loom", 40, 371.0, NO_KEEP_ALIVE),
        CrossCheck("wrk", "loom", 40, 380.25),
        CrossCheck("wrk", "sync", 40, None, "wrk did not end within 21 s"),
    ]
    return replace(usual(), cross_checks=checks)


def test_a_report_has_their_columns_beside_ours(tmp_path: Path) -> None:
    said = report(checked())
    assert said.headings[2:6] == ["requests/s", "expected", "ab: requests/s", "wrk: requests/s"]
    cells = {(row[0], row[1]): row[4:6] for row in said.rows}
    assert cells["Django, loom", "40"] == ["371 (no keep-alive)", "380"]
    assert cells["Django, gunicorn sync", "40"] == ["-", "- (wrk did not end within 21 s)"]
    assert cells["aiohttp", "5"] == ["-", "-"]
    written = write_report(checked(), tmp_path)
    for name in ("report.html", "report.md"):
        assert "371 (no keep-alive)" in written.joinpath(name).read_text()
    with written.joinpath("results.csv").open() as file:
        lines = [line for line in csv.DictReader(file) if line["server"] == "loom"]
    assert [line["ab_requests_per_second"] for line in lines] == [""] * 3 + ["371.0"] * 3
    assert read_outcome(written) == checked()


def test_a_report_without_them_has_no_such_columns() -> None:
    assert "ab: requests/s" not in report(usual()).headings


def test_joined_runs_have_the_median_of_theirs() -> None:
    other = replace(
        checked(),
        started="2026-01-03",
        cross_checks=[CrossCheck("wrk", "loom", 40, rate) for rate in (390.0, 395.0)],
    )
    assert joined([checked(), other]).checked_rate("wrk", "loom", 40) == 390.0


@pytest.mark.skipif(not (shutil.which("ab") and shutil.which("wrk")), reason="needs ab and wrk")
def test_a_real_cross_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_loom.lab.cli.main.signal.signal", lambda *args: None)
    options = ["-c", "2", "--wait", "0.01", "--repeats", "1", "--seconds", "0.1", "--cross-check"]
    command = ["run", "concurrency", *options, "--servers", "aiohttp,loom", "--out", str(tmp_path)]
    result = CliRunner().invoke(lab, command, catch_exceptions=False)
    assert result.exit_code == 0
    (written,) = tmp_path.iterdir()
    found = read_outcome(written)
    assert {(each.tool, each.server) for each in found.cross_checks} == {
        (tool, server) for tool in ("ab", "wrk") for server in ("aiohttp", "loom")
    }
    assert all(each.requests_per_second for each in found.cross_checks)
    # uvicorn keeps no connection of HTTP/1.0, aiohttp does.
    remarks = {(each.tool, each.server) for each in found.cross_checks if each.remark}
    assert remarks == {("ab", "loom")}
    assert NO_KEEP_ALIVE_NOTE in report(found).notes
    assert set(found.conditions["cross-checked with"]) == {"ab", "wrk"}
