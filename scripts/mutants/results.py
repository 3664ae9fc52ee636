"""What has become of each mutant, in a file that a later run goes on with."""

from __future__ import annotations

import json
from pathlib import Path

from .plan import Job


class Results:
    """True for a mutant that a test has noticed, by the mutant's key."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._killed: dict[str, bool] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                row = json.loads(line)
                self._killed[row["key"]] = row["killed"]

    def __getitem__(self, job: Job) -> bool | None:
        return self._killed.get(job.key)

    def note(self, job: Job, killed: bool) -> None:
        self._killed[job.key] = killed
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            row = {"key": job.key, "killed": killed, "mutant": str(job)}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
