"""Tasks cancelled at random moments do no damage; `make fuzz` does it a hundred times as often."""

from __future__ import annotations

import random
import time

import pytest

import django_loom
from benchmarks.fuzz.rounds import Fuzz
from tests.loops import LoopRunner
from tests.services import Postgres

CANCELLATIONS = 500


# Of cursors that the work leaves to the collector, which is the thing to be tested.
@pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning")
def test_500_cancellations_do_no_damage(
    loop_runner: LoopRunner, postgres: Postgres, db_tables: None, cancelled_destructors: None
) -> None:
    seed = random.randrange(1_000_000)
    fuzz = Fuzz(seed, CANCELLATIONS, postgres.dsn, time.monotonic() + 50)
    figures = loop_runner(fuzz.run)
    assert figures["violations"] == [], f"seed {seed}"
    assert figures["cancellations"] > 0
    assert django_loom.pool().statistics().used == 0
