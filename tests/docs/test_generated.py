"""What scripts have made of committed results is what they would make of them now."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import lab_results, readme
from benchmarks.http.figures import Figures
from benchmarks.readme_chart import BARS, PANELS, svg
from django_loom.lab.outcomes.outcome_file import read_outcome

from .blocks import DOCS, ROOT

IMAGES = DOCS / "images"
OURS = sorted({*IMAGES.glob("*.svg"), *IMAGES.glob("lab/*.svg")})


def test_readme_has_the_figures_of_the_committed_results() -> None:
    text = readme.README.read_text()
    assert text == readme.with_figures(text, readme.results()), "run python -m benchmarks.readme"


def test_the_chart_is_that_of_the_committed_results() -> None:
    drawn = svg(Figures(readme.results()["medians"]))
    assert readme.CHART.read_text() == drawn, "run python -m benchmarks.readme"


def test_the_chart_shows_the_rows_that_win_too() -> None:
    result = readme.results()
    figures = Figures(result["medians"])
    drawn = svg(figures)
    for route in PANELS:
        for peer in BARS:
            if (row := figures.row(route, peer)) is not None:
                assert f">{row['per_second']:,.0f}<" in drawn


@pytest.mark.parametrize("text", ["", f"{readme.END}\n{readme.BEGIN}\n", readme.BEGIN * 2])
def test_readme_without_its_markers_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        readme.with_figures(text, readme.results())


@pytest.mark.parametrize("experiment", lab_results.EXPERIMENTS)
def test_the_tutorial_has_results_that_it_can_read(experiment: str) -> None:
    outcome = read_outcome(lab_results.LAB_RESULTS / f"{experiment}.json")
    assert outcome.complete
    assert outcome.experiment == experiment


@pytest.mark.parametrize("experiment", lab_results.EXPERIMENTS)
def test_the_tutorial_has_the_charts_of_its_results(experiment: str) -> None:
    for kind in lab_results.CHARTS:
        chart = lab_results.IMAGES / f"{experiment}-{kind}.svg"
        assert lab_results.digest(experiment) in chart.read_text()


def test_results_of_the_lab_name_no_path_of_a_machine() -> None:
    command = "/home/me/.venv/bin/python3.13 /home/me/x/src/django_loom/lab/served/a.py 3"
    assert lab_results.anywhere(command) == "python django_loom/lab/served/a.py 3"
    for path in lab_results.LAB_RESULTS.glob("*.json"):
        assert not re.search(r'"/|\s/\w+/', path.read_text())


def test_the_drawings_are_those_of_their_script(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, 'docs/_ext'); from loom_drawings import DRAWINGS;"
        "[print(name, drawing.svg(), sep='\\n', end='\\0') for name, drawing in DRAWINGS.items()]"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    drawings = dict(each.split("\n", 1) for each in done.stdout.split("\0") if each)
    assert len(drawings) > 4
    for name, drawn in drawings.items():
        assert (IMAGES / f"{name}.svg").read_text() == drawn, "run python docs/_ext/loom_drawings"


@pytest.mark.parametrize("image", OURS, ids=lambda path: path.name)
def test_a_drawing_is_one_file_that_needs_nothing_else(image: Path) -> None:
    root = ElementTree.parse(image).getroot()
    assert root.tag.endswith("svg")
    assert "<script" not in image.read_text()
