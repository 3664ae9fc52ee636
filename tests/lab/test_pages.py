"""The reports' pages as a browser shows them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from django_loom.lab.comparing import compare
from django_loom.lab.comparison_files import comparison_page
from django_loom.lab.html import document
from django_loom.lab.reports import write_report
from tests.lab.browser import MISSING, PROGRAM, browse, look_at
from tests.lab.outcomes import outcome, usual

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)


def full() -> str:
    """The page of a comparison in which something changed, with each of its parts."""
    after = outcome({"loom": {5: (90, 91, 92), 40: (380, 385, 396)}})
    changed = replace(after, conditions={**after.conditions, "python": "<CPython> 3.14"})
    return comparison_page(compare(usual(), replace(changed, started="2026-01-03")))


def test_a_report_shows_its_table_and_charts_and_asks_for_nothing(tmp_path: Path) -> None:
    page = write_report(usual(), tmp_path).joinpath("report.html").read_text()
    seen = look_at(page, tmp_path)
    assert (seen["errors"], seen["refused"], seen["resources"], seen["console"]) == ([], [], [], [])
    assert len(seen["tables"]) == 1
    assert seen["rows"] == 6
    assert len(seen["charts"]) == 2
    assert all(width > 300 and height > 200 for width, height in seen["charts"])
    assert not seen["overflow"]


def test_a_comparison_shows_its_tables_and_asks_for_nothing(tmp_path: Path) -> None:
    seen = look_at(full(), tmp_path)
    assert (seen["errors"], seen["refused"], seen["resources"], seen["console"]) == ([], [], [], [])
    assert len(seen["tables"]) == 2
    assert seen["rows"] == 3
    assert not seen["overflow"]


def test_what_a_page_asks_for_and_gets_wrong_is_seen(tmp_path: Path) -> None:
    body = '<img src="http://127.0.0.1:9/x.png"><script>nothing()</script>'
    seen = look_at(document("wrong", body), tmp_path)
    assert seen["refused"] == ["http://127.0.0.1:9/x.png"]
    assert any("nothing is not defined" in error for error in seen["errors"])
    assert len(seen["console"]) >= 2


def test_a_report_prints_on_a_few_pages(tmp_path: Path) -> None:
    written = write_report(usual(), tmp_path)
    paper = tmp_path / "report.pdf"
    browse(written / "report.html", tmp_path, f"--print-to-pdf={paper}")
    content = paper.read_bytes()
    assert content.startswith(b"%PDF")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 4
