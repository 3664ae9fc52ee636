"""The tests' own tools find what they should find."""

from __future__ import annotations

import asyncio

import pytest

from tests.loops import LoopRunner
from tests.services import parse


def test_a_result_comes_back_from_a_function_or_a_coroutine(loop_runner: LoopRunner) -> None:
    async def double(number: int) -> int:
        return number * 2

    assert loop_runner(double, 2) == loop_runner(double(2)) == 4


def test_an_error_that_only_the_loop_sees_fails_the_test(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)

    with pytest.raises(pytest.fail.Exception, match="ZeroDivisionError"):
        loop_runner(main)


@pytest.mark.timeout(0.2)
def test_a_coroutine_that_hangs_is_ended(loop_runner: LoopRunner) -> None:
    with pytest.raises(pytest.fail.Exception, match="Timeout"):
        loop_runner(asyncio.Event().wait)


def test_the_parts_of_an_address_are_unquoted() -> None:
    server = parse("postgres://me:p%40ss@db.example:6432/shop")
    assert (server.host, server.port, server.password) == ("db.example", 6432, "p@ss")
    assert server.dsn == "postgres://me:p%40ss@db.example:6432/shop"


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="must be postgres://user:password@host:port/db"):
        parse("mysql://me@localhost/shop")
