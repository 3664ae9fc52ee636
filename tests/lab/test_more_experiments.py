"""The experiments fan-out and cpu: what they measure, by which model, on real servers."""

from __future__ import annotations

import http.client
import json
from dataclasses import replace
from typing import Any

import pytest

from django_loom.lab.analysis.figures import Figures
from django_loom.lab.exceptions import UsageError
from django_loom.lab.experiments import experiment
from django_loom.lab.experiments.experiment import Depth
from django_loom.lab.experiments.fan_out import CLIENTS, services, waits
from django_loom.lab.outcomes.outcome import Outcome, Sample
from django_loom.lab.runs import runner as runner_module
from django_loom.lab.runs.runner import run
from django_loom.lab.servers.catalogue import CORES, kind
from django_loom.lab.servers.server import running
from tests.lab.outcomes import load_result

FAN_OUT, CPU = experiment("fan-out"), experiment("cpu")
SMALL = Depth(clients=(2,), services=(2,), repeats=1, requests=4, seconds=0.05)


def ignore(*args: object) -> None:
    """Progress that nobody looks at."""


def outcome_of(rates: dict[str, dict[int, float]], name: str) -> Outcome:
    """Three samples of each rate, each at the point that the experiment has there."""
    each = experiment(name)
    depth = Depth(clients=(5, 40), services=(2, 20))
    samples = [
        Sample(server, point.x, point.clients, point.wait, load_result(rate * (1 + spread)))
        for server, at in rates.items()
        for point in each.points(depth, server)
        if (rate := at[int(point.x)])
        for spread in (-0.01, 0, 0.01)
    ]
    labels = {server: kind(server).label for server in rates}
    return Outcome(name, "2026-01-02T03:04:05+00:00", labels, {}, samples, complete=True)


def test_the_services_take_from_50_to_200_ms() -> None:
    assert waits(2) == [0.05, 0.2]
    assert len(waits(20)) == 20
    assert (min(waits(20)), max(waits(20)), sum(waits(20))) == (0.05, 0.2, pytest.approx(2.5))


def test_asked_in_turn_they_take_as_long_as_all_gathered_as_the_slowest() -> None:
    depth = Depth(services=(2, 5))
    for server in ("home-sync", "home-one-by-one"):
        points = FAN_OUT.points(depth, server)
        assert [point.wait for point in points] == pytest.approx([0.25, 0.55])
    gathered = FAN_OUT.points(depth, "home-gathered")
    assert [(point.x, point.number, point.wait) for point in gathered] == [(2, 2, 0.2), (5, 5, 0.2)]


def test_the_model_of_each_page() -> None:
    rates = {name: {2: 1.0, 20: 1.0} for name in FAN_OUT.servers}
    figures = Figures(outcome_of(rates, "fan-out"))
    expected = {name: [point.expected for point in figures.of(name)] for name in FAN_OUT.servers}
    assert expected["home-sync"] == pytest.approx([4, 0.4])
    assert expected["home-one-by-one"] == pytest.approx([CLIENTS / 0.25, CLIENTS / 2.5])
    assert expected["home-gathered"] == pytest.approx([20, 20])


@pytest.mark.parametrize("number", [(), (0,), (1, 21)])
def test_a_wrong_number_of_services_is_refused(number: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="services must be from 1 to 20"):
        Depth(services=number)


def test_every_page_does_without_the_service_that_fails() -> None:
    with services() as variables:
        found = tuple(variables.items())
        kinds = [replace(kind(name), variables=found) for name in FAN_OUT.servers]
        with running(kinds) as servers:
            pages = {
                name: get(each.url, each.kind.numbered_path(4)) for name, each in servers.items()
            }
    assert pages == dict.fromkeys(FAN_OUT.servers, (200, b"3 of 4 services"))


def get(url: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_fan_out_from_start_to_end() -> None:
    outcome = run(FAN_OUT, SMALL, FAN_OUT.servers, ignore)
    assert outcome.complete
    slowest = {"home-sync": 250, "home-one-by-one": 250, "home-gathered": 200}
    for sample in outcome.samples:
        assert sample.result.failures == 0
        assert sample.result.latency
        assert sample.result.latency.p50 >= slowest[sample.server]


def test_fan_out_concludes_that_awaiting_in_turn_is_not_at_once() -> None:
    rates = {
        "home-sync": {2: 3.9, 20: 0.4},
        "home-one-by-one": {2: 15.5, 20: 1.6},
        "home-gathered": {2: 19.8, 20: 19.5},
    }
    said = FAN_OUT.conclude(Figures(outcome_of(rates, "fan-out")))
    assert said[0].startswith("sync, one after another, from 2 to 20 services: requests per second")
    assert any(
        "gathered, from 2 to 20 services: requests per second: a change is not" in s for s in said
    )
    assert any("gathered against awaited one by one, at 20 services: 12.2 times" in s for s in said)


def test_computing_on_the_loop_is_one_at_a_time() -> None:
    rates = {name: {5: 1.0, 40: 1.0} for name in CPU.servers}
    figures = Figures(outcome_of(rates, "cpu"))
    expected = {name: [point.expected for point in figures.of(name)] for name in CPU.servers}
    assert expected["cpu-loop"] == pytest.approx([50, 50])
    assert expected["cpu-processes"] == pytest.approx([50 * min(CORES, 5), 50 * min(CORES, 40)])
    assert expected["cpu-pool"] == expected["cpu-processes"]


def test_cpu_concludes_what_async_gains() -> None:
    rates = {
        "cpu-processes": {5: 95.0, 40: 96.0},
        "cpu-loop": {5: 48.0, 40: 48.0},
        "cpu-pool": {5: 94.0, 40: 95.5},
    }
    said = CPU.conclude(Figures(outcome_of(rates, "cpu")))
    assert any(
        "on the loop against Django, gunicorn" in s and "40 clients: 0.5 times" in s for s in said
    )
    assert any(
        "processes against Django, loom, computing on" in s and "1.99 times" in s for s in said
    )
    assert "not shown by this data" in said[-1]


def test_cpu_from_start_to_end() -> None:
    outcome = run(CPU, SMALL, CPU.servers, ignore)
    assert outcome.complete
    assert {sample.server for sample in outcome.samples} == set(CPU.servers)
    for sample in outcome.samples:
        assert sample.result.failures == 0
        assert sample.result.latency
        assert sample.result.latency.p50 >= 20
    assert json.loads(outcome.to_json())["conditions"]["server core"] is None


def test_only_servers_that_compute_have_every_core(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[Any] = []

    def note(kinds: object, core: int | None) -> Any:
        pinned.append(core)
        raise KeyboardInterrupt

    monkeypatch.setattr(runner_module, "running", note)
    monkeypatch.setattr(runner_module, "server_and_generator", lambda: (0, 1))
    for each in (CPU, experiment("concurrency")):
        assert not run(each, SMALL, ("aiohttp",), ignore).complete
    assert pinned == [None, 0]
