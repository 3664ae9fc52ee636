"""Runs the tests on mutants of the riskiest modules: ``python -m scripts.mutants --help``."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

from tests.services import postgres

from .plan import MODULES, Job, jobs
from .results import Results
from .tree import Tree

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "mutants"


def main() -> None:
    options = parse()
    results = Results(FOLDER / "results.jsonl")
    chosen = jobs(ROOT, options.modules, options.limit, options.seed)
    if options.again:
        pending = [job for job in chosen if results[job] is False]
    else:
        pending = [job for job in chosen if results[job] is None]
    print(f"{len(chosen)} mutants, {len(pending)} of them to try", flush=True)
    if pending and not options.list:
        try_all(pending, results)
    survivors = [job for job in chosen if results[job] is False]
    killed = [job for job in chosen if results[job]]
    print(f"\n{len(killed)} noticed, {len(survivors)} not:")
    for job in survivors:
        print(job)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.mutants", description=__doc__)
    add = parser.add_argument
    add("--modules", nargs="+", default=MODULES, metavar="PATTERN", help="as in 'bridge/*'")
    add("--limit", type=int, metavar="N", help="as many mutants of them, chosen by chance")
    add("--seed", type=int, default=1, help="of that chance (1)")
    add("--again", action="store_true", help="those that no test has noticed, with today's tests")
    add("--list", action="store_true", help="only say what is known; run nothing")
    return parser.parse_args()


def try_all(pending: list[Job], results: Results) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(postgres())
        tree = Tree(ROOT, FOLDER / "tree", server.dsn)
        for tests in dict.fromkeys(job.tests for job in pending):
            tree.require_passes(tests)
        for number, job in enumerate(pending, 1):
            killed = tree.kills(job)
            results.note(job, killed)
            print(f"{number:4} {'noticed ' if killed else 'SURVIVES'} {job}", flush=True)


if __name__ == "__main__":
    main()
