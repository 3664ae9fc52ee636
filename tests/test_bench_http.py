"""What the HTTP benchmark makes of its samples; nothing is measured here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from benchmarks.database import Target
from benchmarks.http import report, rounds, tables
from benchmarks.http.figures import alone_medians, medians, memory_medians
from benchmarks.http.goals import Goal
from benchmarks.http.goals import goals as goals_of
from benchmarks.http.peers import LOOM, PEERS, ROUTES, specification
from benchmarks.http.servers import Server, ServerFailed
from django_loom.http.conf import HttpSettings

TARGET = {"host": "127.0.0.1", "port": 1, "user": "u", "password": "", "dbname": "d"}


def sample(route: str, peer: str, per_second: float, **more: Any) -> dict[str, Any]:
    usual = {
        "repeat": 0,
        "failures": 0,
        "p50_ms": 1.0,
        "p99_ms": 2.0,
        "server_busy": 1.0,
        "generator_busy": 0.1,
    }
    return {**usual, "route": route, "peer": peer, "per_second": per_second, **more}


def memory_sample(peer: str, **more: int) -> dict[str, Any]:
    usual = {"before": 50 << 20, "clients": 1024, "count": 1024}
    return {"repeat": 0, "peer": peer, **usual, "idle": 60 << 20, "waiting": 90 << 20, **more}


def goals(
    samples: list[dict[str, Any]], memory: list[dict[str, Any]] | None = None
) -> dict[tuple[str, str], Goal]:
    found = goals_of(medians(samples), memory_medians(memory or []))
    return {(goal.text, goal.kind): goal for goal in found}


def result(samples: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    found = medians(samples)
    empty: dict[str, Any] = {"threads": {}, "failures": {}, "memory": [], "options": {}}
    facts = {"date": "", "cores": 2, "cpu": "", "system": "", "libc": "", "load_at_start": 0.0}
    checked = [vars(goal) for goal in goals_of(found, [])]
    about = {"machine": facts, "versions": {}, "method": "", "goals": checked}
    return {**empty, **about, "medians": found, **more}


def cells(text: str, name: str) -> list[str]:
    """The row of a table that begins with these words."""
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {name} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_median_counts_and_the_extremes_are_kept() -> None:
    rates = [300.0, 100.0, 200.0]
    (row,) = medians([sample("hello", LOOM, rate, repeat=n) for n, rate in enumerate(rates)])
    assert (row["min"], row["per_second"], row["max"]) == (100, 200, 300)


def test_the_fastest_window_of_each_repeat_counts_and_the_mean_of_all_is_kept() -> None:
    rates = [(0, 100.0), (0, 300.0), (1, 500.0), (2, 250.0)]
    (row,) = medians([sample("hello", LOOM, rate, repeat=n) for n, rate in rates])
    assert (row["min"], row["per_second"], row["max"]) == (100, 300, 500)
    assert row["mean"] == 287.5


def test_a_bar_is_also_shown_by_the_means() -> None:
    samples = [sample("hello", LOOM, rate) for rate in (700.0, 500.0)]
    samples.append(sample("hello", "stock", 100.0))
    goal = goals(samples)["hello: loom / stock ASGI", "least"]
    assert (goal.measured, goal.by_mean) == (7, 6)
    shown = cells(report.text(result(samples)), "hello: loom / stock ASGI")
    assert shown[2:] == ["≥ 7", "7", "yes", "6"]


def test_cpu_per_request_is_the_share_of_the_core_by_the_rate() -> None:
    (row,) = medians([sample("hello", LOOM, 2000.0, server_busy=0.5)])
    assert row["cpu_us"] == 250


def test_failed_requests_of_all_repeats_are_added() -> None:
    (row,) = medians([sample("hello", LOOM, 1.0, failures=n) for n in (1, 2)])
    assert row["failures"] == 3


def test_a_contender_that_answered_nothing_has_a_row_without_latency() -> None:
    nothing = sample("wait", "stock", 0.0, p50_ms=None, p99_ms=None)
    (row,) = medians([nothing])
    assert row["per_second"] == 0
    assert row["p50_ms"] is None
    assert "- / -" in report.text(result([nothing]))


@pytest.mark.parametrize(("ours", "met"), [(699.0, False), (700.0, True)])
def test_a_bar_is_met_from_its_least_value_on(ours: float, met: bool) -> None:
    found = goals([sample("hello", LOOM, ours), sample("hello", "stock", 100.0)])
    assert found["hello: loom / stock ASGI", "least"].met is met


def test_the_fastest_of_the_rivals_is_what_counts() -> None:
    rates = {LOOM: 400.0, "gunicorn-sync": 300.0, "gunicorn-threads": 500.0}
    found = goals([sample("orm", peer, rate) for peer, rate in rates.items()])
    goal = found["orm: loom / the best WSGI (gunicorn-threads)", "least"]
    assert (goal.measured, goal.met) == (0.8, False)


def test_waiting_is_judged_by_what_the_pool_allows() -> None:
    goal = goals([sample("wait", LOOM, 905.0)])[
        "wait: share of the 1,000/s that the pool allows", "least"
    ]
    assert (goal.measured, goal.met) == (0.905, True)


def test_memory_has_a_least_bar_and_an_aim() -> None:
    text = "sleep: KiB per waiting request, with its connection"
    found = goals([], [memory_sample(LOOM, waiting=80 << 20)])
    assert found[text, "least"].measured == found[text, "aim"].measured == 30
    assert found[text, "least"].met
    assert not found[text, "aim"].met


def test_who_does_not_wait_counts_as_an_idle_connection() -> None:
    half = memory_sample("stock", count=512, waiting=70 << 20)
    (row,) = memory_medians([half])
    assert row["idle_kib"] == 10
    assert row["waiting_kib"] == 30


def test_bars_without_data_are_left_out() -> None:
    assert goals([sample("hello", LOOM, 1.0)]) == {}


def test_the_least_bars_come_first() -> None:
    samples = [sample(route, peer, 1.0) for route in ROUTES for peer in PEERS]
    kinds = [goal.kind for goal in goals_of(medians(samples), [])]
    assert kinds == sorted(kinds, key=["least", "stricter", "aim"].index)


def test_losing_rows_and_missed_bars_stay_in_the_text() -> None:
    text = report.text(result([sample("hello", LOOM, 10.0), sample("hello", "stock", 20.0)]))
    assert "0.50" in text
    assert "**no**" in text


def test_empty_cells_have_their_reason() -> None:
    text = report.text(result([sample("hello", "aiohttp", 10.0), sample("session", LOOM, 10.0)]))
    assert "Empty: aiohttp, session: no sessions and users of its own." in text


def test_a_busy_machine_is_noted() -> None:
    busy = result([])
    assert "busy" not in report.text(busy)
    busy["machine"]["load_at_start"] = 3.5
    assert "The machine was busy: load 3.5 at the start." in report.text(busy)


def test_what_did_not_run_is_named() -> None:
    text = report.text(result([], failures={"stock, orm": "it answered 500"}))
    assert "Not run: stock, orm: it answered 500" in text


@pytest.mark.parametrize(
    ("more", "mark"),
    [({"failures": 1}, "10*"), ({"generator_busy": 0.6}, "10†"), ({"server_busy": 0.5}, "10‡")],
)
def test_a_doubtful_figure_is_marked(more: dict[str, Any], mark: str) -> None:
    assert f" {mark} |" in report.text(result([sample("hello", LOOM, 10.0, **more)]))


@pytest.mark.parametrize("name", PEERS)
def test_every_contender_can_be_told_what_to_serve(name: str) -> None:
    spec = specification(PEERS[name], 32, 8, TARGET)
    assert spec["server"] in {"uvicorn", "gunicorn", "aiohttp"}
    assert set(PEERS[name].missing) <= {*ROUTES, "sleep"}


def test_only_what_counts_threads_gets_them() -> None:
    threads = {n: specification(p, 32, 8, TARGET).get("threads") for n, p in PEERS.items()}
    assert threads["gunicorn-threads"] == 8
    assert threads["gunicorn-sync"] == 1  # with more it becomes the other


def test_one_wsgi_server_collects_garbage_as_we_do() -> None:
    found = {n: specification(p, 32, 8, TARGET)["collector"] for n, p in PEERS.items()}
    ours = {n: thresholds for n, thresholds in found.items() if thresholds is not None}
    assert ours == {"gunicorn-threads-gc": HttpSettings().GC_THRESHOLD}


def test_what_plain_django_costs_is_set_beside_what_a_bar_allows() -> None:
    costs = (1500.0, 1700.0, 900.0)
    found = alone_medians([{"route": "session", "cpu_us": cost} for cost in costs])
    text = report.text(result([sample("session", "stock", 250.0)], alone=found))
    # 3 times 250/s are 750/s, or 1,333 µs each.
    assert cells(text, "session") == ["session", "1,500", "900-1,700", "3 times", "1,333", "-167"]


def test_a_route_without_a_bar_has_its_cost_all_the_same() -> None:
    text = report.text(result([], alone=alone_medians([{"route": "list", "cpu_us": 900.0}])))
    assert cells(text, "list") == ["list", "900", "900-900", "-", "-", "-"]


@contextmanager
def failing(spec: dict[str, Any]) -> Iterator[Server]:
    """Stands for a server whose module is missing."""
    raise ServerFailed(f"no {spec['server']}")
    yield


def test_a_server_that_does_not_start_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "fill", lambda target: "")
    monkeypatch.setattr(tables, "expected", lambda target: dict.fromkeys(ROUTES))
    monkeypatch.setattr(rounds, "serving", failing)
    for route in ("hello", "wait"):
        bench = rounds.Bench(Target(**TARGET), 1.0, [route])
        bench.measure([LOOM], repeat=0)
        bench.measure_memory(LOOM, 0, 1)
        assert bench.result()["failures"] == {LOOM: "no uvicorn"}
        assert bench.samples == []
