"""What is counted of a load, and what is not."""

from __future__ import annotations

import asyncio

import pytest

from django_loom.lab.load import recorder as recorder_module
from django_loom.lab.load.recorder import Recorder
from django_loom.lab.load.responses import Response


def response(status: int = 200, *, body: bytes = b"whole", server: str = "it") -> Response:
    response = Response()
    head = f"HTTP/1.1 {status} X\r\nServer: {server}\r\nX-Server: other\r\n"
    assert response.feed(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return response


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(recorder_module, "perf_counter", lambda: self.now)

    def answer(self, recorder: Recorder, sent: float, now: float, status: int = 200) -> None:
        recorder.count_sent(sent)
        self.now = now
        recorder.count_answer(sent, response(status))

    def fail(self, recorder: Recorder, sent: float, now: float) -> None:
        recorder.count_sent(sent)
        self.now = now
        recorder.count_failure(sent, "timeout")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def recorder() -> Recorder:
    recorder = Recorder()
    recorder.begin = 10.0
    return recorder


def test_requests_sent_before_the_begin_are_in_no_figure(clock: Clock, recorder: Recorder) -> None:
    clock.answer(recorder, sent=9.0, now=9.5)
    clock.answer(recorder, sent=9.0, now=12.0)
    assert not recorder.statuses
    assert recorder.size == 0
    assert recorder.latencies.summary() is None


def test_a_window_has_the_answers_and_the_requests_of_its_time(
    clock: Clock, recorder: Recorder
) -> None:
    recorder.end = 20.0
    for sent, answered in ((9.0, 11.0), (11.0, 12.0), (13.0, 25.0), (20.0, 26.0)):
        clock.answer(recorder, sent=sent, now=answered)
    clock.answer(recorder, sent=12.0, now=13.0, status=503)
    assert recorder.completed == 2  # at 11 and 12
    assert recorder.requests == 2  # of 11 and 13
    assert recorder.statuses == {200: 2, 503: 1}


def test_the_time_ends_with_the_last_answer(clock: Clock, recorder: Recorder) -> None:
    clock.answer(recorder, sent=10.0, now=12.0)
    clock.answer(recorder, sent=11.0, now=14.0, status=503)
    clock.fail(recorder, sent=11.0, now=41.0)
    assert recorder.seconds == 4


def test_the_time_of_failures_only_ends_with_the_last(clock: Clock, recorder: Recorder) -> None:
    clock.fail(recorder, sent=11.0, now=41.0)
    assert recorder.seconds == 31


def test_other_statuses_are_counted_apart(clock: Clock, recorder: Recorder) -> None:
    clock.answer(recorder, sent=11.0, now=12.0)
    clock.answer(recorder, sent=11.0, now=11.001, status=503)
    clock.answer(recorder, sent=11.0, now=11.001, status=302)
    found = recorder.latencies.summary()
    assert recorder.statuses == {200: 1, 503: 1, 302: 1}
    assert recorder.requests == 1
    assert found is not None
    assert found.mean == pytest.approx(1000, rel=0.001)


def test_all_are_answered_when_the_last_open_request_ends(recorder: Recorder) -> None:
    async def wait() -> list[bool]:
        recorder.count_sent(11.0)
        recorder.count_sent(9.0)  # before the begin
        waiting = asyncio.create_task(recorder.all_answered())
        await asyncio.sleep(0)
        states = [waiting.done()]
        recorder.count_failure(11.0, "timeout")
        await waiting
        return [*states, waiting.done()]

    assert asyncio.run(wait()) == [False, True]
    assert recorder.errors == {"timeout": 1}


def test_the_first_answer_says_what_the_server_is(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, clock = Recorder(), Clock(monkeypatch)
    assert (recorder.server, recorder.document_size) == ("", 0)
    recorder.begin = 0.0
    clock.answer(recorder, sent=1.0, now=1.1)
    recorder.count_answer(1.0, response(body=b"longer", server="other"))
    assert recorder.server == "it"
    assert recorder.document_size == 5
    assert recorder.bodies_size == 5 + 6
    assert recorder.size == response().size + response(body=b"longer", server="other").size
