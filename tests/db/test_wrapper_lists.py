"""Whatever code does to the list of wrappers in a block, it finds a list as Django's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection

from django_loom import run_sync
from django_loom.bridge import unit_of_work
from tests.db.query_capture import wrapper_that_notes
from tests.loops import LoopRunner
from tests.testapp.models import Author

# Changes of a list, in one piece of code.
pytestmark = [pytest.mark.usefixtures("db_tables"), pytest.mark.one_loop]
A, B, X, Y, OUTER, INNER = ["A", "B", "X", "Y", "outer", "inner"]
Named = Callable[[str], Any]


def assign(change: Callable[[list[Any], Named], list[Any]]) -> Callable[[Any, Named], None]:
    def act(holder: Any, named: Named) -> None:
        holder.execute_wrappers = change(holder.execute_wrappers, named)

    return act


def act_on_list(change: Callable[[list[Any], Named], Any]) -> Callable[[Any, Named], None]:
    return lambda holder, named: change(holder.execute_wrappers, named)


def add_in_place(holder: Any, named: Named) -> None:
    holder.execute_wrappers += [named(X), named(Y)]


def set_aside(holder: Any, named: Named) -> None:
    saved = holder.execute_wrappers
    holder.execute_wrappers = []
    holder.execute_wrappers = saved


def set_aside_and_change(holder: Any, named: Named) -> None:
    saved = holder.execute_wrappers
    holder.execute_wrappers = [named(Y)]
    saved.append(named(X))
    saved.reverse()
    assert holder.execute_wrappers == [named(Y)]
    holder.execute_wrappers = saved


def take_out_for_a_while(holder: Any, named: Named) -> None:
    taken = [holder.execute_wrappers.pop() for _ in range(3)]
    holder.execute_wrappers.extend(reversed(taken))


def use_a_kept_list(holder: Any, named: Named) -> None:
    kept = holder.execute_wrappers
    holder.execute_wrappers.append(named(X))
    kept.insert(2, named(Y))
    assert kept == holder.execute_wrappers


CHANGES: dict[str, Callable[[Any, Named], None]] = {
    "+=": add_in_place,
    "append": act_on_list(lambda wrappers, named: wrappers.append(named(X))),
    "clear": act_on_list(lambda wrappers, named: wrappers.clear()),
    "del all": act_on_list(lambda wrappers, named: wrappers.__delitem__(slice(None))),
    "del first": act_on_list(lambda wrappers, named: wrappers.__delitem__(0)),
    "del last": act_on_list(lambda wrappers, named: wrappers.__delitem__(-1)),
    "del some": act_on_list(lambda wrappers, named: wrappers.__delitem__(slice(None, None, 2))),
    "del others": act_on_list(lambda wrappers, named: wrappers.__delitem__(slice(1, None, 2))),
    "extend": act_on_list(lambda wrappers, named: wrappers.extend(map(named, [X, Y]))),
    "insert at the front": act_on_list(lambda wrappers, named: wrappers.insert(0, named(X))),
    "insert after one": act_on_list(lambda wrappers, named: wrappers.insert(1, named(X))),
    "insert after two": act_on_list(lambda wrappers, named: wrappers.insert(2, named(X))),
    "insert before the last": act_on_list(lambda wrappers, named: wrappers.insert(-1, named(X))),
    "pop": act_on_list(lambda wrappers, named: wrappers.pop()),
    "pop first": act_on_list(lambda wrappers, named: wrappers.pop(0)),
    "pop before the last": act_on_list(lambda wrappers, named: wrappers.pop(-2)),
    "remove outer": act_on_list(lambda wrappers, named: wrappers.remove(named(OUTER))),
    "remove inner": act_on_list(lambda wrappers, named: wrappers.remove(named(INNER))),
    "remove own": act_on_list(lambda wrappers, named: wrappers.remove(named(B))),
    "reverse": act_on_list(lambda wrappers, named: wrappers.reverse()),
    "sort": act_on_list(lambda wrappers, named: wrappers.sort(key=lambda each: each.__name__)),
    "set first": act_on_list(lambda wrappers, named: wrappers.__setitem__(0, named(X))),
    "set inner": act_on_list(lambda wrappers, named: wrappers.__setitem__(-2, named(X))),
    "set all": act_on_list(lambda wrappers, named: wrappers.__setitem__(slice(None), [named(X)])),
    "set around": act_on_list(
        lambda wrappers, named: wrappers.__setitem__(slice(None), [named(X), *wrappers, named(Y)])
    ),
    "set between": act_on_list(
        lambda wrappers, named: wrappers.__setitem__(slice(2, 2), [named(X), named(Y)])
    ),
    "assign with more": assign(lambda wrappers, named: [named(X), *wrappers]),
    "assign with more inside": assign(lambda wrappers, named: [*wrappers, named(X)]),
    "assign others": assign(lambda wrappers, named: [named(X)]),
    "assign reversed": assign(lambda wrappers, named: wrappers[::-1]),
    "assign none": assign(lambda wrappers, named: []),
    "set aside": set_aside,
    "set aside and change": set_aside_and_change,
    "take out for a while": take_out_for_a_while,
    "use a kept list": use_a_kept_list,
}


@pytest.mark.parametrize("run", [run_sync, asyncio.to_thread])
@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_the_list_in_a_block_is_as_djangos(
    loop_runner: LoopRunner, run: Callable[..., Any], change: Callable[[Any, Named], None]
) -> None:
    order: list[str] = []
    wrappers: dict[str, Any] = {}

    def named(name: str) -> Any:
        if name not in wrappers:
            wrappers[name] = wrapper_that_notes(order, name)
            wrappers[name].__name__ = name
        return wrappers[name]

    def names(found: list[Any]) -> list[str]:
        return [each.__name__ for each in found]

    def asked() -> list[str]:
        order.clear()
        Author.objects.count()
        assert names(connection.execute_wrappers) == order
        return list(order)

    def sync_code() -> None:
        # In Django the list has all of them, one after the other.
        stock = SimpleNamespace(execute_wrappers=[named(each) for each in (A, OUTER, B, INNER, Y)])
        connection.execute_wrappers.append(named(A))
        with connection.execute_wrapper(named(OUTER)):
            connection.execute_wrappers.append(named(B))
            with connection.execute_wrapper(named(INNER)):
                connection.execute_wrappers.append(named(Y))
                assert asked() == [A, OUTER, B, INNER, Y]
                change(stock, named)
                change(connection, named)
                left = names(stock.execute_wrappers)
                assert asked() == left
            left = [each for each in left if each != INNER]
            assert asked() == left
        own = [each for each in left if each != OUTER]
        assert asked() == own
        assert names(connection._execute_wrappers) == own

    async def main() -> None:
        with unit_of_work():
            await run(sync_code)

    loop_runner(main)


def test_a_list_that_is_kept_beyond_its_block_has_the_connections_own(
    loop_runner: LoopRunner,
) -> None:
    order: list[str] = []
    one, other, block = [wrapper_that_notes(order, name) for name in ("one", "other", "block")]

    def sync_code() -> None:
        with connection.execute_wrapper(block):
            kept = connection.execute_wrappers
            kept.append(one)
        connection.execute_wrappers = kept
        assert connection.execute_wrappers == [one]
        kept.append(other)
        assert connection.execute_wrappers == kept == [one, other]

    loop_runner(run_sync, sync_code)


def test_the_same_wrapper_by_hand_and_by_a_block(loop_runner: LoopRunner) -> None:
    order: list[str] = []
    one, twice = wrapper_that_notes(order, "one"), wrapper_that_notes(order, "twice")

    def sync_code() -> None:
        connection.execute_wrappers.append(twice)
        with connection.execute_wrapper(twice):
            connection.execute_wrappers.append(one)
            assert connection.execute_wrappers == [twice, twice, one]
            connection.execute_wrappers.remove(twice)
            assert connection.execute_wrappers == [twice, one]
        assert connection.execute_wrappers == [one]

    loop_runner(run_sync, sync_code)
