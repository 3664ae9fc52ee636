"""What a report says, and the files that it comes in."""

from __future__ import annotations

import csv
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from django_loom.lab.analysis.figures import Figures
from django_loom.lab.exceptions import UsageError
from django_loom.lab.outcomes.outcome import Outcome
from django_loom.lab.reports import report_files as reports_module
from django_loom.lab.reports.report_files import markdown, write_report
from django_loom.lab.reports.tables import DOUBTFUL, HEADINGS, report
from tests.lab.outcomes import load_result, outcome, usual

FILES = {
    "report.html",
    "report.md",
    "results.csv",
    "results.json",
    "rate.png",
    "rate.svg",
    "time.png",
    "time.svg",
}


class Page(HTMLParser):
    """The names of the parts of a page, the texts of its cells, and what it loads."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.loaded: list[str] = []
        self.cells: list[str] = []
        self.text = ""
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open.append(tag)
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        links = [given.get(name) or "" for name in ("src", "href", "xlink:href")]
        self.loaded += [link for link in links if link and not link.startswith("#")]

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open and self._open[-1] == "td":
            self.cells.append(data)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the usual outcome."""
    return write_report(usual(), tmp_path_factory.mktemp("reports") / "new" / "out")


def page(directory: Path) -> Page:
    page = Page()
    page.feed(directory.joinpath("report.html").read_text())
    return page


def test_a_report_has_all_its_files(written: Path) -> None:
    assert written.name == "concurrency-2026-01-02T030405"
    assert {path.name for path in written.iterdir()} == FILES
    assert written.joinpath("time.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_needs_nothing_else_and_has_each_name_once(written: Path) -> None:
    found = page(written)
    assert not found.loaded
    assert len(found.ids) == len(set(found.ids)) > 10
    assert "loom" in found.text
    assert found.cells[:4] == ["aiohttp", "5", "49.5 (49.0 to 50.0)", "50.0"]


def test_the_same_outcome_gives_the_same_files(written: Path, tmp_path: Path) -> None:
    again = write_report(usual(), tmp_path)
    for name in FILES:
        assert again.joinpath(name).read_bytes() == written.joinpath(name).read_bytes(), name


def test_results_can_be_read_again(written: Path) -> None:
    assert Outcome.from_json(written.joinpath("results.json").read_text()) == usual()


def test_the_csv_has_a_line_for_each_sample(written: Path) -> None:
    with written.joinpath("results.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(usual().samples) == 18
    assert lines[0]["server"] == "aiohttp"
    assert float(lines[0]["requests_per_second"]) == 49
    assert float(lines[0]["p99_ms"]) == 103


@pytest.mark.parametrize("text", ["", "[]", "{}", "[1]", '"format"', "null"])
def test_another_file_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected a results"):
        Outcome.from_json(text)


def test_results_of_another_version_are_refused() -> None:
    fields = {**json.loads(usual().to_json()), "format": 99}
    with pytest.raises(UsageError, match="results of format 99; this version reads format 2"):
        Outcome.from_json(json.dumps(fields))


def test_conclusions_have_their_figures_and_ratios() -> None:
    said = report(usual()).conclusions
    assert (
        "aiohttp, from 5 to 40 clients: requests per second 7.98 times (7.8 to 8.12)"
        " (49.5 → 395/s); time per request: a change is not shown by this data (101 → 101 ms)."
    ) in said
    assert (
        "Django, gunicorn sync, from 5 to 40 clients: requests per second: a change is not shown"
        " by this data (9.90 → 9.90/s); time per request 8 times (7.88 to 8.08)"
        " (505 → 4,040 ms)."
    ) in said
    assert (
        "Django, loom against Django, gunicorn sync, at 40 clients: 38.9 times (38.2 to 40.4)"
        " the requests per second (385/s against 9.90/s)."
    ) in said
    assert any("against aiohttp" in each and "not shown by this data" in each for each in said)
    assert not any("threads" in each for each in said)


def test_too_few_repeats_show_nothing() -> None:
    few = outcome({"loom": {5: (49,), 40: (390,)}, "sync": {5: (10,), 40: (10,)}})
    said = report(few).conclusions
    assert said
    assert all("not shown by this data" in each for each in said)


def test_a_report_of_nothing_says_nothing(tmp_path: Path) -> None:
    assert "Nothing yet." in markdown(report(outcome({}, samples=[])))
    assert write_report(outcome({}, samples=[]), tmp_path).is_dir()


def test_markdown_has_a_table_with_the_model_beside_the_figures() -> None:
    lines = markdown(report(usual())).splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    assert rows[0][:4] == ["server", "concurrent clients", "requests/s", "expected"]
    assert {line.count("|") for line in lines if line.startswith("| ")} == {len(HEADINGS) + 1}
    assert rows[2][:4] == ["aiohttp", "5", "49.5 (49.0 to 50.0)", "50.0"]
    assert ["Django, gunicorn sync", "40", "9.90 (9.80 to 9.95)", "10.0"] in [r[:4] for r in rows]


def test_failures_and_doubts_are_noted() -> None:
    doubtful = usual()
    for number, sample in enumerate(doubtful.samples[:3]):
        result = load_result(50, errors={"timeout": 2}, loop_lag_ms=50.0 if number else 0.0)
        object.__setattr__(sample, "result", result)
    said = report(doubtful)
    assert said.rows[0][-2:] == ["6", DOUBTFUL]
    assert said.rows[1][-2:] == ["-", ""]
    assert len(said.notes) == 3
    assert "in no other figure" in said.notes[0]
    assert DOUBTFUL in said.notes[1]


@pytest.mark.parametrize(
    ("repeats", "said"),
    [(1, "fewer than 3"), (2, "fewer than 3"), (3, "1 in 10 pairs"), (4, "1 in 35 pairs"), (5, "")],
)
def test_few_repeats_are_warned_of(repeats: int, said: str) -> None:
    run = outcome({"loom": {5: [49.0 + n for n in range(repeats)]}})
    assert said in " ".join(report(run).notes)
    assert bool(report(run).notes) == bool(said)


def test_an_interrupted_run_is_called_incomplete(tmp_path: Path) -> None:
    found = page(write_report(outcome({"sync": {5: (9.9,)}}, complete=False), tmp_path))
    assert "the report is incomplete" in found.text


def test_a_point_without_answers_has_no_figures() -> None:
    figures = Figures(outcome({"sync": {5: (0.0, 0.0)}}))
    point = figures.at("sync", 5)
    assert point is not None
    assert (point.rate, point.time, point.across) == (None, None, None)
    assert report(outcome({"sync": {5: (0.0,)}})).rows[0][2] == "-"


def test_what_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reports_module, "page", fail)
    with pytest.raises(UsageError, match=r"cannot write .*: No space left on device"):
        write_report(usual(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    tmp_path.joinpath("out").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        write_report(usual(), tmp_path / "out")


def test_a_report_replaces_no_other(written: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        write_report(usual(), written.parent)
    assert [path.name for path in written.parent.iterdir()] == [written.name]
