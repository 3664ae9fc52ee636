"""asgiref's thread-critical locals: the project's are the unit's, its own and Django's are not."""

from __future__ import annotations

import _thread
import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any

import pytest
from asgiref.local import Local
from asgiref.sync import sync_to_async
from django.core.checks import run_checks

from django_loom import await_, reroute, run_sync
from django_loom.bridge import unit_of_work
from tests.loops import LoopRunner
from tests.units.tools import (
    check_values_of_unit_and_thread,
    in_another_unit,
    read,
)

Make = Callable[[], Any]


def made_later() -> Any:
    return Local(thread_critical=True)


def older(module: str = "tests.testapp.older") -> Any:
    """One that was made before the app was loaded, when ``threading.local`` was the real one."""
    made = Local(thread_critical=True)
    object.__setattr__(made, "_storage", _thread._local())
    sys.modules[module] = ModuleType(module)
    vars(sys.modules[module])["made"] = made
    return made


def found() -> Any:
    made = older()
    reroute.install()
    return made


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if "older" in name:
            del sys.modules[name]
    reroute.uninstall()
    reroute.install()


each_kind = pytest.mark.parametrize("make", [made_later, found])


@each_kind
def test_a_unit_has_its_own_values_and_so_has_the_thread(make: Make) -> None:
    check_values_of_unit_and_thread(make())


@each_kind
def test_flows_and_threads_of_a_unit_share_them_and_others_do_not(
    loop_runner: LoopRunner, make: Make
) -> None:
    local = make()

    def middleware(name: str) -> list[Any]:
        local.x = name
        await_(others.wait())
        return [
            local.x,
            await_(run_sync(read, local)),
            await_(asyncio.to_thread(read, local)),
            await_(sync_to_async(read, thread_sensitive=False)(local)),
            await_(sync_to_async(read)(local)),
        ]

    async def main() -> None:
        nonlocal others
        others = asyncio.Barrier(2)
        answers = await asyncio.gather(*(run_sync(middleware, name) for name in "ab"))
        assert answers == [["a"] * 5, ["b"] * 5]

    others: Any = None
    loop_runner(main)


@each_kind
@pytest.mark.parametrize("place", [nullcontext, unit_of_work])
def test_a_coroutine_has_those_of_its_context_also_where_a_unit_begins_in_its_midst(
    loop_runner: LoopRunner, make: Make, place: Callable[[], AbstractContextManager[Any]]
) -> None:
    local = make()

    async def task(name: str) -> None:
        local.x = name
        with place():
            await asyncio.sleep(0)
            assert local.x == name
            assert await asyncio.create_task(child()) == name
            local.y = name
            assert await run_sync(read, local) is None  # in a thread it would see none, either
        assert (local.x, local.y) == (name, name)

    async def child() -> Any:
        return local.x

    async def main() -> None:
        await asyncio.gather(task("a"), task("b"))
        assert read(local) is None

    loop_runner(main)


def test_older_ones_are_found_wherever_they_are_and_keep_the_values_of_the_thread() -> None:
    made = [older(f"tests.testapp.older_{n}") for n in range(4)]
    in_list, in_closure, in_class, plain = made
    vars(sys.modules["tests.testapp.older_0"])["made"] = [in_list]
    vars(sys.modules["tests.testapp.older_1"])["made"] = lambda: in_closure
    holder = type("Holder", (), {"local": in_class, "__module__": "tests.testapp.older_2"})
    vars(sys.modules["tests.testapp.older_2"])["made"] = holder
    vars(sys.modules["tests.testapp.older_1"])["imported"] = plain
    for each in made:
        each.x = "thread"
    reroute.install()
    for each in made:
        assert read(each) == "thread"
        assert in_another_unit(lambda each=each: read(each)) is None
    assert not [each for each in run_checks() if each.id == "django_loom.W003"]
    reroute.uninstall()
    assert [type(vars(each)["_storage"]) for each in made] == [_thread._local] * 4
    assert in_another_unit(lambda: read(plain)) == "thread"


@pytest.mark.parametrize("owner", ["asgiref.sync", "django.utils.connection"])
def test_those_of_asgiref_and_django_stay_the_threads(owner: str) -> None:
    module: dict[str, Any] = {"__name__": owner, "Local": Local}
    exec("made = Local(thread_critical=True)", module)
    local = module["made"]
    local.x = "thread"
    assert in_another_unit(lambda: read(local)) == "thread"


def test_one_that_is_not_thread_critical_is_left_alone() -> None:
    made = Local()
    module = ModuleType("tests.testapp.older")
    vars(module)["made"] = made
    sys.modules[module.__name__] = module
    storage = vars(made)["_storage"]
    made.x = 1
    reroute.install()
    assert vars(made)["_storage"] is storage
    assert in_another_unit(lambda: read(made)) == 1
