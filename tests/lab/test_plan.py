"""A plan is checked before anything is sent."""

from __future__ import annotations

import asyncio
import resource
from typing import Any

import pytest

from django_loom.lab import LoadPlan
from django_loom.lab.exceptions import PlanError
from django_loom.lab.load.generator import decode_plan, encode_plan
from django_loom.lab.load.plan import MAX_SECONDS, address, allow_open_files

URL = "http://127.0.0.1:8000/page/?a=b"


def plan(**changes: Any) -> LoadPlan:
    return LoadPlan(**{"url": URL, "clients": 4, "requests": 10, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"requests": None}, "give seconds, or requests, or both"),
        ({"requests": None, "seconds": 0.0}, "seconds must be from 0.001 to 3600, not 0"),
        ({"requests": None, "seconds": float("nan")}, "seconds must be"),
        ({"requests": 0}, "requests must be"),
        ({"requests": 10**9}, "requests must be"),
        ({"clients": 0}, "clients must be from 1"),
        ({"clients": 10**6}, "clients must be"),
        ({"processes": 5}, "processes must be from 1 to 4, not 5"),
        ({"warmup": -1.0}, "warmup must be"),
        ({"timeout": 0.0}, "timeout must be"),
        ({"rate": 0.0}, "rate must be"),
        ({"rate": 0.002}, "requests / rate must be"),
        ({"url": "https://127.0.0.1/"}, "expected a URL such as"),
        ({"url": "127.0.0.1:8000"}, "expected a URL such as"),
        ({"url": "http://"}, "expected a URL such as"),
        ({"url": "http://127.0.0.1:99999/"}, "expected a URL such as"),
        ({"url": "http://127.0.0.1/a b"}, "expected a URL such as"),
        ({"url": "http://127.0.0.1/a\r\nX: y"}, "expected a URL such as"),
        ({"method": "GE T"}, "expected a method"),
        ({"headers": (("X Y", "z"),)}, "expected a method or a header's name"),
        ({"headers": (("X", "y\r\nZ: 1"),)}, "expected printable"),
        ({"headers": (("X", "€"),)}, "expected printable"),
    ],
)
def test_a_wrong_plan_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        plan(**changes)


def test_the_request_as_it_is_sent() -> None:
    assert plan().request() == (
        b"GET /page/?a=b HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nConnection: keep-alive\r\n\r\n"
    )


def test_a_request_with_a_body_and_headers_of_ones_own() -> None:
    request = plan(
        url="http://localhost",
        method="POST",
        body=b"a=b",
        keep_alive=False,
        headers=(("host", "example.org"), ("Cookie", "a=1"), ("Cookie", "b=2")),
    ).request()
    assert request == (
        b"POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 3\r\n"
        b"host: example.org\r\nCookie: a=1\r\nCookie: b=2\r\n\r\na=b"
    )


def test_the_shares_of_processes_add_up() -> None:
    shares = plan(clients=10, requests=11, rate=99.0, core=1, processes=3).shares()
    assert [share.clients for share in shares] == [4, 3, 3]
    assert [share.requests for share in shares] == [4, 4, 3]
    assert [share.rate for share in shares] == [33.0, 33.0, 33.0]
    assert [share.core for share in shares] == [1, 2, 3]


def test_requests_at_a_rate_take_their_time() -> None:
    assert plan(rate=5.0).window_seconds == 2
    assert plan(rate=5.0, seconds=1.0).window_seconds == 1
    assert plan(seconds=3.0).window_seconds == 3
    assert plan().window_seconds == MAX_SECONDS


def test_a_plan_can_go_to_another_process() -> None:
    sent = plan(headers=(("X", "y"),), body=b"\x00\xff", method="PUT", rate=3.5)
    assert decode_plan(encode_plan(sent)) == sent


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://127.0.0.1:8000/", ("127.0.0.1", 8000)),
        ("http://127.9.9.9/", ("127.9.9.9", 80)),
        ("http://[::1]:8000/", ("::1", 8000)),
        ("http://localhost:8000/", ("127.0.0.1", 8000)),
    ],
)
def test_the_address_of_this_machine(url: str, found: tuple[str, int]) -> None:
    assert asyncio.run(address(plan(url=url))) == found


def test_another_machine_is_refused_unless_it_is_allowed() -> None:
    elsewhere = "http://192.0.2.1/"
    with pytest.raises(PlanError, match=r"192\.0\.2\.1, not this machine"):
        asyncio.run(address(plan(url=elsewhere)))
    assert asyncio.run(address(plan(url=elsewhere, any_host=True))) == ("192.0.2.1", 80)


def test_a_host_without_address_is_refused() -> None:
    with pytest.raises(PlanError, match=r"host nowhere\.invalid"):
        asyncio.run(address(plan(url="http://nowhere.invalid/")))


def test_more_clients_than_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 1064))
    with pytest.raises(PlanError, match=r"2064 open files .* 1064; use at least --processes 2"):
        allow_open_files(2000)


def test_the_limit_of_files_is_raised_as_far_as_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    raised = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 5000))
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: raised.append(limits))
    allow_open_files(100)
    allow_open_files(1000)
    assert raised == [(1064, 5000)]
