"""The steps of one command: our engine's runs, and the stock engine's to compare them with."""

from dataclasses import dataclass
from pathlib import Path

from . import chunks
from .baseline import Baseline, worth_a_second_look
from .compare import differences, within
from .modes import MODES
from .report import Report
from .suite import ModeRun, Suite


@dataclass
class Command:
    """Runs the labels of each mode's letter and keeps what it finds in ``where``."""

    suite: Suite
    labels: dict[str, list[str]]
    where: Path

    def run(self, fresh: bool = False) -> Report:
        """Run the modes and compare. Without mode (a) the stock engine gets a second look only."""
        stock = self._baseline(fresh) if "a" in self.labels else None
        runs = [self._run(*each) for each in self.labels.items() if each[0] != "a"]
        stock = stock or self._second_look(runs)
        report = Report(self.suite.databases.kind, self.suite.jobs, [stock, *runs])
        for run in runs:
            there = within(self.labels[run.mode], stock.tests)
            report.unexpected += differences(run.mode, run.tests, there)
        return report

    def _run(self, letter: str, labels: list[str]) -> ModeRun:
        return self.suite.run(MODES[letter], chunks.split(labels, self.suite.tests))

    def _baseline(self, fresh: bool) -> ModeRun:
        """Mode (a) for all packages, from the stored run of it as far as that goes."""
        path = self.where / "baseline.json"
        stored = Baseline.load(path)
        labels = sorted({label for labels in self.labels.values() for label in labels})
        packages = {label.split(".")[0] for label in labels}
        missing = packages if fresh else packages - stored.packages
        run = self._run("a", sorted(missing))
        if missing and not self.suite.limits.passed():
            stored.replace(missing, run)
            stored.save(path)
        run.tests |= stored.restricted_to(labels)
        return run

    def _second_look(self, runs: list[ModeRun]) -> ModeRun:
        """Mode (a) for those tests only that did not pass on our engine."""
        return self.suite.run(MODES["a"], chunks.split_tests(worth_a_second_look(runs)))
