"""The reports of earlier experiments, in the data folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings

MAX_REPORTS = 20
FILES = {
    "report.html": "text/html; charset=utf-8",
    "rate.svg": "image/svg+xml",
    "time.svg": "image/svg+xml",
    "results.json": "application/json",
    "results.csv": "text/csv; charset=utf-8",
}
_CONCLUSIONS = "## What the data says"


@dataclass(frozen=True, slots=True)
class Report:
    """What `loom lab run` wrote of one experiment."""

    folder: Path
    experiment: str
    started: datetime
    complete: bool

    @property
    def name(self) -> str:
        """The name of its folder, which is its part of an address."""
        return self.folder.name

    def conclusions(self) -> list[str]:
        """What the data says: the list of that heading in report.md."""
        text = (self.folder / "report.md").read_text()
        section = text.partition(_CONCLUSIONS)[2].partition("\n![")[0]
        return [line[2:] for line in section.splitlines() if line.startswith("- ")]


def reports_folder() -> Path:
    """Where the reports are; it need not be there yet."""
    return Path(settings.DATA) / "lab"


def listed() -> list[Report]:
    """Return the reports, the newest first. What is no whole report is left out."""
    found = [_read(path) for path in reports_folder().glob("*/results.json")]
    return sorted((each for each in found if each), key=lambda each: each.started, reverse=True)


def find_file(name: str, file: str) -> Path | None:
    """Return a file of a report, if there are both; no other file can be named.

    :param name: of the report, as a client gave it.
    :param file: one of ``FILES``.
    """
    report = next((each for each in listed() if each.name == name), None)
    if report is None or file not in FILES:
        return None
    path = report.folder / file
    return path if path.is_file() else None


def remove_old() -> None:
    """Remove the oldest reports, if there are more than ``MAX_REPORTS``."""
    for report in listed()[MAX_REPORTS:]:
        shutil.rmtree(report.folder, ignore_errors=True)


def _read(path: Path) -> Report | None:
    try:
        results = json.loads(path.read_text())
        started = datetime.fromisoformat(results["started"])
        return Report(path.parent, str(results["experiment"]), started, bool(results["complete"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
