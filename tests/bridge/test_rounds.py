"""A loop that goes on after an error."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from django_loom.bridge import (
    await_,
    current_call,
    current_unit,
    finish_all,
    run_sync,
    suspend,
    unit_variable,
)
from tests.loops import LoopRunner

from .tools import echo


def test_all_are_called_and_the_first_error_is_raised() -> None:
    called: list[int] = []

    def action(number: int) -> Callable[[], None]:
        def call() -> None:
            called.append(number)
            if number in (1, 3):
                raise LookupError(number)

        return call

    finish_all([action(0), action(2)])
    with pytest.raises(LookupError) as caught:
        finish_all(action(number) for number in range(5))
    assert caught.value.args == (1,)
    assert called == [0, 2, 0, 1, 2, 3, 4]


class Failing:
    """What a call holds; giving it back fails."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log

    def before_wait(self) -> None:
        self.log.append("before_wait")
        raise LookupError(self.name)

    def after_call(self) -> None:
        self.log.append(self.name)
        raise LookupError(self.name)


@pytest.mark.parametrize("fails", [False, True])
def test_a_call_that_fails_to_give_back_ends_all_the_same(
    loop_runner: LoopRunner, fails: bool
) -> None:
    log: list[str] = []

    def fail() -> None:
        log.append("unit")
        raise ValueError

    def function() -> None:
        call, unit = current_call(), current_unit()
        assert call is not None
        assert unit is not None
        unit.at_end(fail)
        call.resources = {name: Failing(name, log) for name in ("one", "two")}
        if fails:
            raise ZeroDivisionError

    async def main() -> None:
        for _ in range(2):
            with pytest.raises(LookupError) as caught:
                await run_sync(function)
            assert caught.value.args == ("one",)
            assert isinstance(caught.value.__context__, ZeroDivisionError) == fails
            assert unit_variable.get() is None
        assert await run_sync(suspend, echo(7)) == 7

    loop_runner(main)
    assert log == ["one", "two", "unit"] * 2


def test_a_wait_that_does_not_begin_leaves_no_coroutine(loop_runner: LoopRunner) -> None:
    log: list[str] = []

    def function() -> None:
        call = current_call()
        assert call is not None
        call.resources = {"one": Failing("one", log)}
        try:
            await_(echo(None))  # a warning that it was never awaited is an error here
        finally:
            call.resources = None

    async def main() -> None:
        with pytest.raises(LookupError):
            await run_sync(function)

    loop_runner(main)
    assert log == ["before_wait"]
