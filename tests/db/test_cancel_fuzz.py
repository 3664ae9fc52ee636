"""Tasks cancelled at random moments do no damage; `make fuzz` does it a hundred times as often."""

from __future__ import annotations

import random
import time

import django_loom
from benchmarks.fuzz.rounds import Fuzz
from tests.loops import LoopRunner
from tests.services import Postgres

CANCELLATIONS = 500


def test_500_cancellations_do_no_damage(
    loop_runner: LoopRunner, postgres: Postgres, db_tables: None
) -> None:
    seed = random.randrange(1_000_000)
    fuzz = Fuzz(seed, CANCELLATIONS, postgres.dsn, time.monotonic() + 50)
    figures = loop_runner(fuzz.run)
    assert figures["violations"] == [], f"seed {seed}"
    assert figures["cancellations"] > 0
    assert django_loom.pool().statistics().used == 0
