"""The steps of one command: our engine's runs, and the stock engine's to compare them with."""

from dataclasses import dataclass
from pathlib import Path

from . import chunks
from .baseline import Baseline, worth_a_second_look
from .compare import differences
from .modes import MODES
from .report import Report
from .suite import ModeRun, Suite


@dataclass
class Command:
    """Runs ``labels`` and keeps what it finds in ``where``."""

    suite: Suite
    labels: list[str]
    where: Path

    def run(self, letters: list[str], fresh: bool = False) -> Report:
        """Run the modes and compare. Without mode (a) the stock engine gets a second look only."""
        stock = self._baseline(fresh) if "a" in letters else None
        runs = [self._run(letter, self.labels) for letter in letters if letter != "a"]
        stock = stock or self._second_look(runs)
        report = Report(self.suite.databases.kind, self.suite.jobs, [stock, *runs])
        for run in runs:
            report.unexpected += differences(run.mode, run.tests, stock.tests)
        return report

    def _run(self, letter: str, labels: list[str]) -> ModeRun:
        return self.suite.run(MODES[letter], chunks.split(labels, self.suite.tests))

    def _baseline(self, fresh: bool) -> ModeRun:
        """Mode (a) for all packages, from the stored run of it as far as that goes."""
        path = self.where / "baseline.json"
        stored = Baseline.load(path)
        packages = {label.split(".")[0] for label in self.labels}
        missing = packages if fresh else packages - stored.packages
        run = self._run("a", sorted(missing))
        if missing and not self.suite.limits.passed():
            stored.replace(missing, run)
            stored.save(path)
        run.tests |= stored.restricted_to(self.labels)
        return run

    def _second_look(self, runs: list[ModeRun]) -> ModeRun:
        """Mode (a) for those tests only that did not pass on our engine."""
        return self.suite.run(MODES["a"], chunks.split_tests(worth_a_second_look(runs)))
