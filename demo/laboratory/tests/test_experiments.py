"""One experiment at a time, as a process that somebody can end."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

import pytest
from django.test import SimpleTestCase, override_settings

from demo.laboratory import events as events_module
from demo.laboratory import experiments as experiments_module
from demo.laboratory.events import RETRY, events
from demo.laboratory.experiments import Busy, Experiments
from demo.laboratory.progress import Progress

FAKE = str(Path(__file__).with_name("fake_lab.py"))


def fake(what: str) -> Experiments:
    """Experiments whose lab finishes, fails or waits."""
    return Experiments((sys.executable, FAKE, what))


async def until_measured(experiments: Experiments) -> Progress:
    """Wait until the lab has said how far it is, and so heeds signals."""
    assert experiments.progress is not None
    async for progress in experiments.changes.follow(experiments.progress, 30):
        if progress.done:
            return progress
    raise AssertionError(experiments.progress)


async def until_over(experiments: Experiments) -> Progress:
    """Wait until the experiment has ended."""
    assert experiments.progress is not None
    async for progress in experiments.changes.follow(experiments.progress, 30):
        if progress.is_over:
            return progress
    raise AssertionError(experiments.progress)


class ExperimentTests(SimpleTestCase):
    """From the start to each of its ends."""

    def setUp(self) -> None:
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.enterContext(override_settings(DATA=Path(folder)))

    async def test_it_finishes_and_everybody_sees_it(self) -> None:
        experiments = fake("finish")
        experiments.start("concurrency", "ann")
        first, second = await asyncio.gather(until_over(experiments), until_over(experiments))
        assert first is second
        assert (first.status, first.done, first.total) == ("finished", 2, 2)
        assert first.has_report

    async def test_only_one_runs_at_a_time(self) -> None:
        experiments = fake("wait")
        experiments.start("concurrency", "ann")
        with pytest.raises(Busy):
            experiments.start("blocking", "bob")
        await until_measured(experiments)
        experiments.cancel()
        await until_over(experiments)
        experiments.start("blocking", "bob")
        await until_measured(experiments)
        await experiments.stop()

    async def test_cancelled_it_keeps_what_was_measured(self) -> None:
        experiments = fake("wait")
        experiments.start("concurrency", "ann")
        await until_measured(experiments)
        experiments.cancel()
        assert experiments.progress is not None
        assert experiments.progress.status == "ending"
        experiments.cancel()  # a second press changes nothing
        progress = await until_over(experiments)
        assert (progress.status, progress.has_report, progress.problem) == ("cancelled", True, "")

    async def test_cancelled_before_the_process_is_there_it_ends_too(self) -> None:
        experiments = fake("wait")
        experiments.start("concurrency", "ann")
        experiments.cancel()
        assert (await until_over(experiments)).status == "cancelled"

    async def test_one_that_heeds_nothing_is_killed(self) -> None:
        experiments = fake("stubborn")
        with patch.object(experiments_module, "ENDING_SECONDS", 0.01):
            experiments.start("concurrency", "ann")
            await until_measured(experiments)
            experiments.cancel()
            assert (await until_over(experiments)).status == "cancelled"

    async def test_a_failure_is_told(self) -> None:
        experiments = fake("fail")
        experiments.start("concurrency", "ann")
        progress = await until_over(experiments)
        assert progress.status == "failed"
        assert "exit code 2: Error: the server did not come up" in progress.problem

    async def test_a_lab_that_cannot_be_started(self) -> None:
        experiments = Experiments(("/nowhere/python",))
        experiments.start("concurrency", "ann")
        progress = await until_over(experiments)
        assert progress.status == "failed"
        assert "No such file" in progress.problem

    async def test_one_that_takes_too_long_is_ended(self) -> None:
        experiments = fake("stubborn")
        with patch.object(experiments_module, "LIMIT_SECONDS", 0.01):
            experiments.start("concurrency", "ann")
            progress = await until_over(experiments)
        assert progress.status == "failed"
        assert "longer than" in progress.problem

    async def test_the_end_of_the_server_ends_it(self) -> None:
        for what in ["wait", "stubborn"]:
            experiments = fake(what)
            with patch.object(experiments_module, "SHUTDOWN_SECONDS", 0.1):
                experiments.start("concurrency", "ann")
                await until_measured(experiments)
                assert experiments._process is not None
                process = experiments._process.pid
                await experiments.stop()
            with pytest.raises(ProcessLookupError):
                os.kill(process, 0)
            assert experiments.progress is not None
            assert experiments.progress.status == "cancelled"
        await experiments.stop()  # with nothing to end

    async def test_it_runs_on_when_the_request_that_began_it_is_cancelled(self) -> None:
        experiments = fake("wait")
        begun = asyncio.Event()

        async def request() -> None:
            experiments.start("concurrency", "ann")
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(request())
        await begun.wait()
        task.cancel()
        await asyncio.wait([task])
        assert not (await until_measured(experiments)).is_over
        await experiments.stop()


class EventTests(SimpleTestCase):
    """The progress as server-sent events."""

    def setUp(self) -> None:
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.enterContext(override_settings(DATA=Path(folder)))

    async def test_the_last_event_says_that_it_is_over(self) -> None:
        experiments = fake("finish")
        experiments.start("concurrency", "ann")
        lines = [line async for line in events(experiments)]
        assert lines[0] == RETRY
        states = [json.loads(line.removeprefix("data: ")) for line in lines[1:]]
        assert all(line.endswith("\n\n") for line in lines)
        assert not states[0]["over"]
        assert states[-1]["over"]
        assert states[-1]["status"] == "finished"

    async def test_without_an_experiment_it_ends_at_once(self) -> None:
        lines = [line async for line in events(fake("finish"))]
        assert lines[1:] == ['data: {"over": true}\n\n']

    async def test_it_ends_before_the_servers_grace_time_does(self) -> None:
        experiments = fake("wait")
        experiments.start("concurrency", "ann")
        await until_measured(experiments)
        with patch.object(events_module, "STREAM_SECONDS", 0.01):
            lines = [line async for line in events(experiments)]
        assert json.loads(lines[-1].removeprefix("data: "))["status"] == "running"
        await experiments.stop()

    async def test_a_listener_that_leaves_does_not_end_the_experiment(self) -> None:
        experiments = fake("wait")
        experiments.start("concurrency", "ann")
        await until_measured(experiments)
        listener = events(experiments)
        await anext(listener)
        await anext(listener)
        await listener.aclose()
        assert experiments.progress is not None
        assert experiments.progress.status == "running"
        await experiments.stop()
