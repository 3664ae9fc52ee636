"""The functions in threads of a unit: the last one runs what waits for it."""

from __future__ import annotations

from django_loom.bridge import Unit
from django_loom.db.unit_jobs import jobs_of, running_jobs


def test_the_last_one_runs_what_waits_for_it() -> None:
    unit = Unit()
    jobs = jobs_of(unit)
    ended: list[int] = []

    def end() -> None:
        ended.append(jobs.running)

    jobs.begin()
    jobs.begin()
    assert running_jobs(unit) == 2
    assert jobs.after_last(end)
    jobs.end()
    assert ended == []
    jobs.end()
    assert ended == [0]


def test_what_comes_after_the_last_one_is_told() -> None:
    unit = Unit()
    jobs = jobs_of(unit)
    ended: list[str] = []
    jobs.begin()
    jobs.end()
    assert not jobs.after_last(lambda: ended.append("too late"))
    jobs.begin()
    jobs.end()
    assert ended == []
    assert running_jobs(unit) == running_jobs(None) == running_jobs(Unit()) == 0
