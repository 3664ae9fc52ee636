"""Values go when their local goes, when their unit goes, and when their thread goes."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from typing import Any
from weakref import ref

import pytest

from django_loom import run_sync
from django_loom.bridge import Unit, unit_of_work
from django_loom.bridge.unit import begin_unit
from django_loom.units.values import UsedLocals
from tests.units.tools import in_another_unit, in_thread


class Value: ...


@pytest.fixture(autouse=True)
def without_collector() -> Any:
    """What the tests see freed, is freed at once."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def put(local: Any) -> ref[Value]:
    local.x = value = Value()
    return ref(value)


def test_a_unit_takes_its_values_with_it() -> None:
    local = threading.local()
    with unit_of_work() as unit:
        value = put(local)
    assert value() is not None  # who still has the unit may ask
    del unit
    assert value() is None


def test_a_unit_of_a_call_takes_its_values_with_it() -> None:
    local = threading.local()

    async def main() -> ref[Value]:
        return await run_sync(put, local)

    assert asyncio.run(main())() is None


def test_a_local_takes_its_values_with_it() -> None:
    local = threading.local()
    of_thread = put(local)
    with unit_of_work():
        of_unit = put(local)
        del local
        assert (of_unit(), of_thread()) == (None, None)


def test_a_thread_takes_its_values_with_it() -> None:
    local = threading.local()
    assert in_thread(lambda: put(local))() is None


def test_many_locals_leave_nothing_in_a_unit_that_lasts() -> None:
    with unit_of_work() as unit:
        for _ in range(1000):
            put(threading.local())
        used: UsedLocals = unit.belongings[UsedLocals]
        assert len(used._tables) == 0


def test_many_units_leave_nothing_in_a_local_that_lasts() -> None:
    local = threading.local()
    for _ in range(1000):
        in_another_unit(lambda: put(local))
    assert len(object.__getattribute__(local, "_loom_table")) == 0


@pytest.mark.parametrize("outside", [True, False], ids=["thread", "unit"])
def test_a_value_that_leads_back_to_its_local_is_collected(outside: bool) -> None:
    context = contextvars.copy_context()
    with unit_of_work():
        local = threading.local()
        value = context.run(put, local) if outside else put(local)
        value().local = local  # type: ignore[union-attr]
        del local
        assert value() is not None
        gc.collect()
        assert value() is None


def test_a_value_that_leads_back_to_its_unit_is_collected_with_it() -> None:
    local = threading.local()
    with unit_of_work() as unit:
        local.context = contextvars.copy_context()
        gone = ref(unit)
        del unit
    assert gone() is not None
    gc.collect()
    assert gone() is None


def test_a_first_value_after_the_end_of_its_unit_is_collected_with_it() -> None:
    local = threading.local()
    with unit_of_work() as unit:
        outliving = contextvars.copy_context()
    outliving.run(setattr, local, "context", outliving)
    gone = ref(unit)
    del unit, outliving
    gc.collect()
    assert gone() is None


def test_a_unit_that_never_ends_takes_its_values_with_it_as_well() -> None:
    local = threading.local()
    context = contextvars.copy_context()
    context.run(begin_unit)
    value = context.run(put, local)
    assert value() is not None
    del context
    assert value() is None


def test_a_local_that_goes_after_its_unit_has_ended_takes_its_values_with_it() -> None:
    with unit_of_work() as unit:
        local = threading.local()
        value = put(local)
    assert value() is not None
    del local
    assert value() is None
    assert unit.ended


def test_what_code_gives_a_local_after_its_unit_has_ended_goes_with_the_unit() -> None:
    local, other = threading.local(), threading.local()
    with unit_of_work():
        local.x = 1
        context = contextvars.copy_context()
    with unit_of_work():
        empty = contextvars.copy_context()
    values = [context.run(put, other), context.run(put, local), empty.run(put, local)]
    assert context.run(getattr, other, "x") is values[0]()
    assert all(value() is not None for value in values)
    del context, empty
    assert [value() for value in values] == [None] * 3
    assert vars(local) == {}


def test_a_local_in_the_place_of_an_older_one_does_not_see_its_values() -> None:
    with unit_of_work():
        ids = set()
        for _ in range(100):
            local = threading.local()
            assert vars(local) == {}
            local.x = 1
            ids.add(id(local))
            del local
        assert len(ids) < 100


def test_a_unit_in_the_place_of_an_older_one_does_not_see_its_values() -> None:
    local = threading.local()
    ids = set()
    for _ in range(100):
        with unit_of_work() as unit:
            assert vars(local) == {}
            local.x = 1
            ids.add(id(unit))
            del unit
    assert len(ids) < 100


def test_a_unit_that_uses_no_local_has_nothing() -> None:
    local = threading.local()
    with unit_of_work() as unit:
        assert unit.belongings == {}
        local.x = 1
        assert list(unit.belongings) == [UsedLocals]
    assert isinstance(unit, Unit)
