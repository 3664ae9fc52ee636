"""The command line of the suite."""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

import django

from . import accepted, databases, selection, sources
from .child import Limits
from .command import Command
from .modes import MODES, STOCK_ENGINES
from .report import Report
from .suite import Suite

CACHE = Path(__file__).resolve().parents[2] / ".django-suite"


def main(argv: list[str] | None = None) -> int:
    """0 when nothing differs from the stock engine, 1 when something does, 2 for misuse."""
    options = _parse(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        report = _run(options)
    except (accepted.AcceptedError, sources.SourceError) as error:
        print(error, file=sys.stderr)
        return 2
    print(report.text())
    return 0 if report.ok else 1


def _run(options: argparse.Namespace) -> Report:
    version = django.get_version()
    tests = sources.tests_directory(version, CACHE)
    limits = Limits(options.silence, time.monotonic() + options.time_limit)
    with databases.provide(options.db) as provided:
        python = "{}.{}".format(*sys.version_info)
        where = CACHE / f"{options.db}{provided.fingerprint}-django{version}-py{python}"
        suite = Suite(tests, where / "logs", provided, limits, options.jobs)
        report = Command(suite, _labels(options, tests), where).run(options.fresh)
    report.sort_out(accepted.load(options.db, ".".join(version.split(".")[:2])))
    report.save(where / "summary.json")
    return report


def _labels(options: argparse.Namespace, tests: Path) -> dict[str, list[str]]:
    letters = options.modes or [letter for letter in MODES if not options.ci or letter != "a"]
    packages = sources.packages(tests)
    return {
        letter: list(options.labels) or selection.choose(packages, MODES[letter], options.ci)
        for letter in letters
    }


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add, environ = parser.add_argument, os.environ.get
    add("labels", nargs="*", help='packages, or parts like "queries.tests.Queries1Tests"')
    add("--ci", action="store_true", help="only the packages that run in CI; not mode a")
    add("--db", default=environ("DB") or "postgresql", choices=sorted(STOCK_ENGINES))
    add("--modes", default=environ("MODES", ""), type=_modes, help="default: a b c d e")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    add("--fresh", action="store_true", help="run (a) even where a stored run of it exists")
    add("--silence", type=float, default=120, help="seconds until a test counts as hanging")
    add("--time-limit", type=float, default=3 * 3600, help="seconds for the whole command")
    return parser.parse_args(argv)


def _modes(text: str) -> list[str]:
    letters = sorted(set(text.replace(",", " ").split()))
    if unknown := set(letters) - MODES.keys():
        raise argparse.ArgumentTypeError(f"no such mode: {' '.join(sorted(unknown))}")
    return letters
