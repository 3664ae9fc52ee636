"""What the experiments measure, by which model, and how their runs end."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from django_loom.lab.analysis.model import expected_rate, time_across_all, time_per_request
from django_loom.lab.exceptions import ServerError, UsageError
from django_loom.lab.experiments import EXPERIMENTS, experiment
from django_loom.lab.experiments.experiment import Depth
from django_loom.lab.load.plan import LoadPlan
from django_loom.lab.load.results import LoadResult
from django_loom.lab.runs import runner as runner_module
from django_loom.lab.runs.runner import run, schedule
from django_loom.lab.servers.catalogue import KINDS, Kind, kind
from django_loom.lab.servers.environment import environment
from tests.lab.outcomes import load_result

CONCURRENCY = experiment("concurrency")


@contextmanager
def no_servers(kinds: list[Kind], core: int | None) -> Iterator[dict[str, Any]]:
    yield {
        each.name: SimpleNamespace(
            kind=each,
            url="http://127.0.0.1:1",
            process=SimpleNamespace(exit_code=7, last_lines=lambda: "oops"),
        )
        for each in kinds
    }


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[LoadPlan]:
    """The loads that a run would make."""
    made: list[LoadPlan] = []

    def note(plan: LoadPlan, generators: object) -> LoadResult:
        made.append(plan)
        return load_result(10)

    monkeypatch.setattr(runner_module, "running", no_servers)
    monkeypatch.setattr(runner_module, "run_load", note)
    return made


def ignore(*args: object) -> None:
    """Progress that nobody looks at."""


@pytest.mark.parametrize(
    ("at_once", "clients", "wait", "rate"),
    [
        (1, 1, 0.1, 10),
        (1, 40, 0.1, 10),
        (10, 5, 0.1, 50),
        (10, 40, 0.2, 50),
        (math.inf, 40, 0.1, 400),
    ],
)
def test_the_model_of_servers_that_wait(
    at_once: float, clients: int, wait: float, rate: float
) -> None:
    assert expected_rate(at_once, clients, wait) == pytest.approx(rate)


def test_the_times_are_those_of_ab() -> None:
    assert time_per_request(10, 40) == 4000
    assert time_across_all(10) == 100


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_knows_its_servers_and_what_varies(name: str) -> None:
    each = experiment(name)
    assert each.name == name
    assert set(each.servers) <= set(KINDS)
    points = each.points(Depth(), "loom")
    assert [point.x for point in points] == sorted({point.x for point in points})


def test_what_varies_in_each() -> None:
    depth = Depth(clients=(1, 7), waits=(0.5, 0.9))
    assert [(p.clients, p.wait) for p in CONCURRENCY.points(depth, "sync")] == [(1, 0.1), (7, 0.1)]
    io_time = experiment("io-time").points(depth, "sync")
    assert [(p.clients, p.wait) for p in io_time] == [(10, 0.5), (10, 0.9)]
    assert experiment("blocking").servers == ("aiohttp", "aiohttp-blocking", "sync")


def test_an_unknown_experiment_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no experiment 'x'; there are: concurrency, io-time"):
        experiment("x")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clients": ()}, "clients must be"),
        ({"clients": (0, 5)}, "clients must be from 1"),
        ({"waits": (0.0,)}, "waits must be from 0.001"),
        ({"repeats": 0}, "repeats must be from 1 to 100, not 0"),
        ({"seconds": 0.0}, "seconds must be"),
        ({"seconds": 1e6}, "seconds must be"),
        ({"requests": 0}, "requests must be"),
    ],
)
def test_a_wrong_depth_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Depth(**changes)


def test_repeats_are_interleaved_and_each_is_in_its_own_order() -> None:
    depth = Depth(repeats=4)
    points = schedule(CONCURRENCY, depth, ("sync", "loom"))
    repeats = [points[i : i + 8] for i in range(0, 32, 8)]
    assert len(points) == 32
    assert all(set(repeat) == set(repeats[0]) for repeat in repeats)
    assert len({tuple(repeat) for repeat in repeats}) == 4
    assert points == schedule(CONCURRENCY, depth, ("sync", "loom"))


def test_a_run_measures_each_point(plans: list[LoadPlan]) -> None:
    heard = []
    depth = Depth(clients=(2, 3), repeats=2, requests=6)
    outcome = run(CONCURRENCY, depth, ("sync", "loom"), lambda *args: heard.append(args))
    assert outcome.complete
    assert [number for number, *_ in heard] == list(range(8))
    assert Counter((s.server, s.x) for s in outcome.samples) == {
        (server, clients): 2 for server in ("sync", "loom") for clients in (2, 3)
    }
    assert {plan.url for plan in plans} == {
        "http://127.0.0.1:1/sync/100/",
        "http://127.0.0.1:1/async/100/",
    }
    assert {(plan.requests, plan.seconds, plan.warmup) for plan in plans} == {(6, 1.0, 0)}


def test_a_run_records_its_conditions(plans: list[LoadPlan]) -> None:
    outcome = run(CONCURRENCY, Depth(repeats=1), ("loom",), ignore)
    assert outcome.labels == {"loom": kind("loom").label}
    assert outcome.conditions["keep-alive"] is True
    assert outcome.conditions["packages"]["Django"]
    assert "waiting_site.loom_asgi" in outcome.conditions["commands"]["loom"]
    assert len(outcome.conditions["load"]) == 3


def test_a_run_without_keep_alive_says_so(plans: list[LoadPlan]) -> None:
    outcome = run(CONCURRENCY, Depth(repeats=1, keep_alive=False), ("loom",), ignore)
    assert {plan.keep_alive for plan in plans} == {False}
    assert outcome.conditions["keep-alive"] is False


def test_every_server_has_the_same_allocator_and_the_report_says_which(
    plans: list[LoadPlan],
) -> None:
    recorded = run(CONCURRENCY, Depth(repeats=1), ("loom",), ignore).conditions["allocator"]
    assert recorded
    for name in CONCURRENCY.servers:
        assert recorded.items() <= environment(kind(name)).items()


def test_the_wait_is_that_of_the_requests(plans: list[LoadPlan]) -> None:
    outcome = run(CONCURRENCY, Depth(repeats=1, wait=0.25), ("loom",), ignore)
    assert {plan.url for plan in plans} == {"http://127.0.0.1:1/async/250/"}
    assert {sample.wait for sample in outcome.samples} == {0.25}


def test_a_cross_check_without_tools_is_a_note(
    plans: list[LoadPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "on_the_path", list)
    outcome = run(CONCURRENCY, Depth(repeats=1, cross_check=True), ("loom",), ignore)
    assert outcome.complete
    assert outcome.cross_checks == []
    assert any("neither ab nor wrk is on the path" in note for note in outcome.notes)


def test_an_interrupted_run_keeps_what_it_has(plans: list[LoadPlan]) -> None:
    def interrupt(number: int, *args: object) -> None:
        if number == 2:
            raise KeyboardInterrupt

    outcome = run(CONCURRENCY, Depth(), ("sync",), interrupt)
    assert not outcome.complete
    assert len(outcome.samples) == 3


def test_a_server_that_answers_errors_ends_the_run(
    plans: list[LoadPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    def errors(plan: LoadPlan, generators: object) -> LoadResult:
        plans.append(plan)
        return load_result(0, statuses={500: 40}, errors={"closed": 2})

    monkeypatch.setattr(runner_module, "run_load", errors)
    message = r"no good answer .*\{500: 40\}.*\{'closed': 2\}; it ended .* 7; its last lines:\noops"
    with pytest.raises(ServerError, match=message):
        run(CONCURRENCY, Depth(), ("loom",), ignore)
    assert len(plans) == 1
