"""Commits the results of lab experiments, for the tutorial of the documentation.

`loom lab run concurrency io-time blocking`, then `python -m benchmarks.lab_results out/*`.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

from matplotlib import pyplot

from benchmarks.harness import RESULTS
from django_loom.lab.outcomes.outcome_file import read_outcome
from django_loom.lab.reports.charts import drawn
from django_loom.lab.reports.report_files import CHARTS
from django_loom.lab.reports.tables import report

ROOT = Path(__file__).parents[1]
LAB_RESULTS, IMAGES = RESULTS / "lab", ROOT / "docs" / "images" / "lab"
EXPERIMENTS = ("concurrency", "io-time", "blocking")


def keep(directory: Path) -> str:
    """Copy one run's results and draw its charts; the name of its experiment."""
    outcome = read_outcome(directory)
    if outcome.experiment not in EXPERIMENTS:
        raise SystemExit(f"{directory}: the tutorial has no experiment {outcome.experiment!r}")
    conditions = outcome.conditions
    conditions["commands"] = {name: anywhere(each) for name, each in conditions["commands"].items()}
    conditions["system"] = "-".join(conditions["system"].split("-")[:2])
    LAB_RESULTS.mkdir(parents=True, exist_ok=True)
    LAB_RESULTS.joinpath(f"{outcome.experiment}.json").write_text(outcome.to_json() + "\n")
    draw(outcome.experiment)
    return outcome.experiment


def anywhere(command: str) -> str:
    """A command without the paths of the machine that it ran on."""
    command = re.sub(r"\S*/bin/python\S*", "python", command)
    return re.sub(r"\S*/src/django_loom/", "django_loom/", command)


def draw(experiment: str) -> None:
    """Draw the charts of the kept results; each says of which file it is."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    said = report(read_outcome(LAB_RESULTS / f"{experiment}.json"))
    for name, chart in CHARTS.items():
        figure = chart(said.figures, said.varies)
        drawing = drawn(figure, "svg").decode() + f"<!-- {digest(experiment)} -->\n"
        IMAGES.joinpath(f"{experiment}-{name}.svg").write_text(drawing)
        pyplot.close(figure)


def digest(experiment: str) -> str:
    """What tells one run's results from another's."""
    return hashlib.sha256((LAB_RESULTS / f"{experiment}.json").read_bytes()).hexdigest()


def main(directories: list[str]) -> None:
    if not directories:
        raise SystemExit("usage: python -m benchmarks.lab_results DIRECTORY...")
    for each in directories:
        print(keep(Path(each)))


if __name__ == "__main__":
    main(sys.argv[1:])
