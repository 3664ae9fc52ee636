"""Locals that a project made before the app was loaded, and what cannot be helped."""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from django.core.checks import Warning
from django.test import override_settings
from django.utils.functional import SimpleLazyObject

from django_loom import reroute
from django_loom.bridge import unit_of_work
from django_loom.units import sweep
from django_loom.units.checks import check_thread_locals
from tests.units.tools import in_another_unit, in_thread

Older = Callable[..., ModuleType]


@pytest.fixture
def older(monkeypatch: pytest.MonkeyPatch) -> Iterator[Older]:
    """Makes a module of an installed app from source that has the real class as `local`."""

    def make(source: str, name: str = "tests.testapp.older", **names: Any) -> ModuleType:
        module = ModuleType(name)
        vars(module).update(names)
        exec(f"from _thread import _local as local\n{source}", vars(module))
        monkeypatch.setitem(sys.modules, name, module)
        return module

    yield make
    reroute.uninstall()
    monkeypatch.undo()
    reroute.install()


def is_of_units(local: Any) -> bool:
    with unit_of_work():
        local.probe = 1
        seen = in_another_unit(lambda: hasattr(local, "probe"))
        del local.probe
    return not seen


def left() -> list[str]:
    return [f"{found.module}.{found.name}" for found in sweep.find()]


def test_globals_class_attributes_and_instance_attributes(older: Older) -> None:
    module = older("""
state = local()
state.x = "kept"
class Registry:
    shared = local()
    def __init__(self):
        self.own = local()
        self.own.x = "kept too"
registry = Registry()
""")
    assert len(left()) == 4  # the class, too
    reroute.install()
    assert module.local is threading.local
    assert (module.state.x, module.registry.own.x) == ("kept", "kept too")
    for local in (module.state, module.Registry.shared, module.registry.own):
        assert type(local) is threading.local
        assert is_of_units(local)
    assert in_thread(lambda: vars(module.state)) == {}
    assert in_another_unit(lambda: vars(module.state)) == {}
    assert left() == []


def test_one_local_that_several_modules_have_stays_one(older: Older) -> None:
    first = older("state = local()")
    second = older("", "tests.testapp.second", imported=first.state, own=_thread._local())
    reroute.install()
    assert first.state is second.imported
    assert second.own is not first.state
    assert is_of_units(first.state)


def test_values_of_the_thread_are_carried_over_also_if_a_unit_asks(older: Older) -> None:
    module = older("state = local()\nstate.x = 'thread'")
    with unit_of_work():
        reroute.install()
        assert vars(module.state) == {}
    assert module.state.x == "thread"


def test_a_subclass_stays_what_it_is_with_all_its_instances(older: Older) -> None:
    module = older("""
class Mixin:
    def both(self):
        return self.a, self.b
class State(Mixin, local):
    default = "class"
    def __init__(self, a, *, b):
        super().__init__()
        self.a, self.b = a, b
    def sub(self):
        return __class__, super().both()
class Child(State):
    pass
def hidden():
    state = State(5, b=6)
    return lambda: state
hidden = hidden()
states = [State(1, b=2), Child(3, b=4)]
without = type("Without", (local,), {})()
""")
    cls, (state, child), hidden = module.State, module.states, module.hidden()
    state.a = "changed"
    reroute.install()
    assert module.State is cls
    assert cls.__bases__[0] is module.Mixin
    assert (state.a, state.b, state.default) == ("changed", 2, "class")
    assert state.sub() == (cls, ("changed", 2))
    for made, a, b in ((state, 1, 2), (child, 3, 4), (hidden, 5, 6)):
        assert in_another_unit(made.sub) == in_thread(made.sub) == (cls, (a, b))
        assert is_of_units(made)
    assert in_another_unit(lambda: vars(module.without)) == {}
    assert is_of_units(cls(7, b=8))
    with unit_of_work():
        made = cls(7, b=8)
        made.a = 0
        assert vars(made) == {"a": 0, "b": 8}
    assert (made.a, made.b) == (7, 8)
    assert left() == []


def test_a_subclass_that_no_living_thread_has_used(older: Older) -> None:
    module = older("class State(local):\n    def __init__(self): self.a = 1")
    state = in_thread(module.State)
    reroute.install()
    assert in_another_unit(lambda: state.a) == state.a == 1
    assert in_another_unit(lambda: state.a) == in_thread(lambda: state.a) == 1


def test_uninstalling_puts_everything_back(older: Older) -> None:
    module = older("""
state = local()
class State(local):
    shared = local()
class Holder:
    def __init__(self):
        self.own = local()
holder = Holder()
""")
    before = [module.local, module.state, module.State.__bases__, module.holder.own]
    reroute.install()
    reroute.install()
    reroute.uninstall()
    after = [module.local, module.state, module.State.__bases__, module.holder.own]
    assert all(new == old for new, old in zip(after, before, strict=True))
    assert threading.local is _thread._local


def test_a_library_that_nothing_names_and_the_settings_import(older: Older) -> None:
    library = older(
        """
state = local()
class State(local): ...
class Registry:
    shared = local()
    def __init__(self):
        self.own = local()
registry = Registry()
sub = State()
""",
        "library_of_the_test.state",
    )
    module = older("", imported=library.state, Registry=library.Registry)
    reroute.install()
    assert module.imported is library.state
    for local in (library.state, library.sub, library.Registry.shared, library.registry.own):
        assert is_of_units(local)
    assert left() == []


def test_what_a_library_has_out_of_reach_is_named(older: Older) -> None:
    older("states = [local()]", "library_of_the_test.state")
    reroute.install()
    (message,) = check_thread_locals()
    assert str(message.msg).startswith("states in library_of_the_test.state is a ")


def test_what_belongs_to_threads_is_left_alone(older: Older) -> None:
    needs_threads = older("state = local()\nclass State(local): ...", "asgiref.older")
    module = older(
        "state = State()",
        State=needs_threads.State,
        asgirefs=needs_threads.state,
        listed=[needs_threads.state],
    )
    handed_on = older("class Holder: ...", "asgiref.holder").Holder()
    handed_on.state = real = _thread._local()
    module.handed_on = handed_on
    with override_settings(LOOM={"THREAD_LOCALS": ["library_of_the_test"]}):
        library = older("state = local()", "library_of_the_test.state")
        module.imported = library.state
        reroute.install()
        assert left() == []
    assert type(library.state) is type(needs_threads.state) is _thread._local
    # Two names of one local stay one.
    assert module.asgirefs is needs_threads.state
    assert module.imported is library.state
    assert needs_threads.State.__bases__ == (_thread._local,)
    assert handed_on.state is real
    assert not is_of_units(module.state)


def test_nothing_lazy_is_woken_and_nothing_is_imported(
    older: Older, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wake() -> Any:
        raise AssertionError("woken")

    class Proxy:
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(name)

        __class__ = property(lambda self: wake())

    class Odd(type):
        def __eq__(cls, other: object) -> bool:
            raise AssertionError("compared")

    class LazyModule(ModuleType):
        __dict__ = property(lambda self: wake())  # type: ignore[assignment]

    names: dict[str, Any] = {"lazy": SimpleLazyObject(wake), "proxy": Proxy()}
    module = older("state = local()", **names, odd=Odd("odd", (), {})())
    lazy = LazyModule("lazy_of_the_test")
    lazy.state = _thread._local()
    for name, each in {"lazy_of_the_test": lazy, "object_of_the_test": Proxy()}.items():
        monkeypatch.setitem(sys.modules, name, each)
    with override_settings(ROOT_URLCONF="no.such.urls", MIDDLEWARE=["no.such.middleware.Some"]):
        reroute.install()
        assert left() == []
    assert is_of_units(module.state)
    assert is_of_units(lazy.state)


OUT_OF_REACH = """
in_a_list = [local()]
in_a_dictionary = {"state": local()}
def in_a_default(state=local(), *, other=local()): ...
def make():
    state = local()
    def in_a_closure():
        return state
        return not_yet
    return in_a_closure
    not_yet = 1
in_a_closure = make()
class Refusing:
    def __init__(self):
        self.__dict__["state"] = local()
    def __setattr__(self, name, value):
        raise AttributeError(name)
refusing = Refusing()
class Slotted(local):
    __slots__ = ("shared",)
"""


def test_what_cannot_be_helped_is_a_warning(older: Older) -> None:
    older(OUT_OF_REACH)
    reroute.install()
    messages = check_thread_locals()
    assert all(isinstance(each, Warning) and each.id == "django_loom.W003" for each in messages)
    names = [str(each.msg).split(" in tests.testapp.older is a ")[0] for each in messages]
    assert names == [
        "in_a_list",
        "in_a_dictionary",
        "in_a_default",
        "in_a_closure",
        "refusing.state",
        "Slotted",
    ]
    assert "Put 'django_loom' first in INSTALLED_APPS" in str(messages[0].hint)
    assert 'LOOM["THREAD_LOCALS"]' in str(messages[0].hint)
    with override_settings(LOOM={"THREAD_LOCALS": ["tests.testapp.older"]}):
        assert check_thread_locals() == []


def test_a_project_whose_locals_are_all_right_is_not_mentioned() -> None:
    assert check_thread_locals() == []
