"""Generators in processes of their own, and what becomes of them."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from django_loom.lab import LoadPlan, LoadResult, run_load
from django_loom.lab.exceptions import GeneratorError, PlanError
from django_loom.lab.load import process as process_module
from django_loom.lab.load.calibration import ceiling, null_server
from django_loom.lab.load.process import Generators, run_processes
from django_loom.lab.load.results import joined
from django_loom.lab.processes.pinning import check_cores, cores, server_and_generator


def plan(url: str) -> LoadPlan:
    return LoadPlan(url=url, clients=4, requests=50, warmup=0)


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[str]]:
    """The generators' processes that a test starts."""
    started: list[subprocess.Popen[str]] = []
    start = process_module.started

    def note() -> subprocess.Popen[str]:
        started.append(start())
        return started[-1]

    monkeypatch.setattr(process_module, "started", note)
    return started


def test_a_load_of_two_processes_is_one_result(children: list[subprocess.Popen[str]]) -> None:
    with null_server() as url:
        result = run_processes(replace(plan(url), processes=2))
    assert result.statuses == {200: 50}
    assert result.latency is not None
    assert len(children) == 2
    assert all(child.poll() is not None for child in children)


def test_one_process_makes_many_loads(children: list[subprocess.Popen[str]]) -> None:
    with null_server() as url, Generators() as generators:
        for requests in (5, 6, 7):
            assert generators.run(replace(plan(url), requests=requests)).requests == requests
    assert len(children) == 1
    assert children[0].poll() is not None


def test_a_load_knows_how_near_its_own_ceiling_it_came() -> None:
    with null_server(wait=0.01) as url:
        result = run_load(plan(url))
    assert result.requests == 50
    assert result.ceiling_share is not None
    assert 0 < result.ceiling_share < 5
    assert result.near_ceiling is (result.ceiling_share > 0.5)


def test_the_ceiling_is_measured_once() -> None:
    assert ceiling(True, None) > 0
    assert ceiling(True, None) == ceiling(True, None)


def test_the_result_can_come_from_another_process() -> None:
    with null_server() as url:
        result = run_processes(plan(url))
    assert LoadResult.from_json(result.to_json()) == result


def test_results_are_joined_by_their_sums() -> None:
    with null_server() as url:
        one = run_processes(plan(url))
    two = joined([one, replace(one, statuses={200: 1, 503: 2}, errors={"timeout": 3})])
    assert two.statuses == {200: 51, 503: 2}
    assert two.errors == {"timeout": 3}
    assert two.requests_per_second == pytest.approx(2 * one.requests_per_second)
    assert two.latency is not None
    assert one.latency is not None
    assert two.latency.max == one.latency.max


def test_what_a_process_refuses_is_an_error_here(children: list[subprocess.Popen[str]]) -> None:
    with pytest.raises(PlanError, match="not this machine"):
        run_processes(plan("http://192.0.2.1/"))
    assert children[0].poll() is not None


def test_a_process_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "COMMAND", [sys.executable, "-c", "import nothing_such"])
    with pytest.raises(GeneratorError, match="exit code 1: ModuleNotFoundError"):
        run_processes(plan("http://127.0.0.1/"))


def test_a_process_that_hangs_is_ended(
    monkeypatch: pytest.MonkeyPatch, children: list[subprocess.Popen[str]]
) -> None:
    monkeypatch.setattr(process_module, "longest", lambda plan: 0.1)
    with null_server(wait=20.0) as url, pytest.raises(GeneratorError, match="did not end its load"):
        run_processes(plan(url))
    assert children[0].poll() is not None


def test_an_interrupt_leaves_no_process(
    monkeypatch: pytest.MonkeyPatch, children: list[subprocess.Popen[str]]
) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(process_module, "result_of", interrupt)
    with null_server(wait=20.0) as url, pytest.raises(KeyboardInterrupt):
        run_processes(replace(plan(url), processes=2))
    assert len(children) == 2
    assert all(child.poll() is not None for child in children)


@pytest.mark.skipif(not cores(), reason="this system does not pin processes")
def test_a_process_is_pinned_to_a_core_that_exists() -> None:
    with null_server(core=cores()[0]) as url:
        assert run_processes(replace(plan(url), core=cores()[0])).requests == 50
    with pytest.raises(PlanError, match=f"core {cores()[-1] + 1} is not among"):
        check_cores(cores()[-1], 2)


@pytest.mark.skipif(len(cores()) < 2, reason="there are no two cores to pin to")
def test_a_process_is_pinned_for_one_load_only(children: list[subprocess.Popen[str]]) -> None:
    with null_server() as url, Generators() as generators:
        for core, found in ((cores()[1], {cores()[1]}), (None, set(cores()))):
            generators.run(replace(plan(url), core=core))
            assert os.sched_getaffinity(children[0].pid) == found


def test_server_and_generator_get_different_cores_or_none() -> None:
    server, generator = server_and_generator()
    assert (server is None) == (generator is None)
    assert server is None or server != generator
