"""The reports of earlier experiments, in the data folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
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

    def said(self) -> Said:
        """Return what report.md says of the data; nothing while that is not written yet."""
        try:
            text = (self.folder / "report.md").read_text()
        except FileNotFoundError:
            return Said()
        head, _, rest = text.partition(_CONCLUSIONS)
        return Said(
            notes=[line.strip("*") for line in head.splitlines() if line.startswith("**")],
            conclusions=[
                line.removeprefix("- ")
                for line in rest.partition("\n![")[0].splitlines()
                if line.startswith("- ")
            ],
        )


@dataclass(frozen=True, slots=True)
class Said:
    """What the reader must know of the data, and what the data says."""

    notes: list[str] = field(default_factory=list)
    conclusions: list[str] = field(default_factory=list)


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
