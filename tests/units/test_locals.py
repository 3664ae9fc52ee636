"""threading.local in place of the thread's: the whole API, within a unit and outside."""

from __future__ import annotations

import _thread
import _threading_local
import contextvars
import copy
import pickle
import threading
from abc import ABC, ABCMeta, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from weakref import ref

import pytest

from django_loom.bridge import unit_of_work
from django_loom.units import Local
from tests.units.tools import in_another_unit, in_thread


def value_of(local: Any, name: str = "x") -> Any:
    return getattr(local, name, None)


@pytest.fixture(params=[nullcontext, unit_of_work], ids=["in a thread", "in a unit"])
def place(request: pytest.FixtureRequest) -> Iterator[None]:
    """The test's code is outside every unit, or in one."""
    opened: AbstractContextManager[Any] = request.param()
    with opened:
        yield


Apart = Callable[[Callable[[], Any]], Any]


@pytest.fixture(params=[in_thread, in_another_unit], ids=["other thread", "other unit"])
def apart(request: pytest.FixtureRequest) -> Apart:
    """Runs a function where other values are seen than outside every unit in this thread."""
    apart: Apart = request.param
    return apart


# Each behaviour is compared with that of the real class.
BASES = pytest.mark.parametrize("base", [_thread._local, threading.local], ids=["real", "ours"])


def subclass(base: Any) -> Any:
    class Sub(base):  # type: ignore[misc]
        default = "class"

        def __init__(self, a: int = 0, *, b: int = 0) -> None:
            super().__init__()
            self.a = a
            self.runs = getattr(self, "runs", 0) + 1
            self.b = b

        @property
        def both(self) -> tuple[int, int]:
            return self.a, self.b

        @both.setter
        def both(self, value: tuple[int, int]) -> None:
            self.a, self.b = value

        def method(self) -> str:
            return f"{self.a} {self.b}"

    return Sub


def test_the_class_is_ours() -> None:
    assert threading.local is Local is _threading_local.local
    assert issubclass(threading.local, _thread._local)
    assert type(threading.local()) is threading.local
    assert type(threading.local) is type


@pytest.mark.usefixtures("place")
@BASES
def test_attributes(base: Any) -> None:
    local = base()
    assert not hasattr(local, "x")
    local.x = 1
    local._y = 2
    assert (local.x, local._y, getattr(local, "z", 3)) == (1, 2, 3)
    assert vars(local) == local.__dict__ == {"x": 1, "_y": 2}
    assert {"x", "_y"} <= set(dir(local))
    local.__dict__["z"] = 4
    assert local.z == 4
    del local.x
    with pytest.raises(AttributeError, match="no attribute 'x'"):
        _ = local.x
    with pytest.raises(AttributeError, match="x"):
        del local.x


@pytest.mark.usefixtures("place")
@BASES
def test_what_is_refused(base: Any) -> None:
    local = base()
    with pytest.raises(TypeError, match="Initialization arguments are not supported"):
        base(1)
    with pytest.raises(TypeError, match="Initialization arguments are not supported"):
        base(a=1)
    with pytest.raises(AttributeError, match="object attribute '__dict__' is read-only"):
        local.__dict__ = {}
    with pytest.raises(AttributeError, match="object attribute '__dict__' is read-only"):
        del local.__dict__
    for copies in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot pickle"):
            copies(local)


@pytest.mark.usefixtures("place")
@BASES
def test_a_subclass(base: Any) -> None:
    cls = subclass(base)
    local = cls(1, b=2)
    assert (local.a, local.b, local.both, local.method()) == (1, 2, (1, 2), "1 2")
    assert (local.default, cls.default) == ("class", "class")
    local.default = "own"
    assert (local.default, cls.default) == ("own", "class")
    del local.default
    assert local.default == "class"
    local.both = 3, 4
    assert vars(local) == {"a": 3, "runs": 1, "b": 4}
    local.__dict__["both"] = "hidden by the property"
    assert local.both == (3, 4)
    with pytest.raises(AttributeError):
        del local.both
    assert local.__dict__.pop("both")
    with pytest.raises(AttributeError):
        del local.method
    with pytest.raises(AttributeError, match="read-only"):
        local.__dict__ = {}
    with pytest.raises(TypeError, match="cannot pickle"):
        copy.copy(local)
    assert ref(local)() is local


@BASES
def test_a_subclass_is_initialized_once_in_each_thread(base: Any) -> None:
    local = subclass(base)(1, b=2)
    local.a = 5
    assert in_thread(lambda: (local.a, local.b, local.runs)) == (1, 2, 1)
    assert (local.a, local.runs) == (5, 1)


def test_a_subclass_is_initialized_once_in_each_unit() -> None:
    local = subclass(threading.local)(1, b=2)
    local.a = 5
    with unit_of_work():
        assert (local.a, local.b, local.runs) == (1, 2, 1)
        local.a = 6
        with unit_of_work():
            assert (local.a, local.runs) == (1, 1)
        assert (local.a, local.runs) == (6, 1)
    assert (local.a, local.runs) == (5, 1)


def test_one_made_in_a_unit_is_initialized_for_the_thread_when_it_is_used_there() -> None:
    calls = []

    class Counted(threading.local):
        def __init__(self, value: str) -> None:
            calls.append(value)
            self.value = value

    with unit_of_work():
        local = Counted("given")
        local.value = "changed"
        assert calls == ["given"]
    assert vars(local) == {"value": "given"}
    assert in_thread(lambda: local.value) == "given"
    assert calls == ["given"] * 3


def test_an_init_that_fails_runs_again_at_the_next_use(place: None, apart: Apart) -> None:
    fails = False

    class Failing(threading.local):
        def __init__(self) -> None:
            self.half = True
            if fails:
                raise LookupError
            self.whole = True

    local = Failing()
    fails = True

    def twice() -> Any:
        nonlocal fails
        with pytest.raises(LookupError):
            _ = local.whole
        with pytest.raises(LookupError):
            local.x = 1
        fails = False
        return vars(local)

    assert apart(twice) == {"half": True, "whole": True}


def test_one_made_in_a_unit_whose_init_fails_in_the_thread() -> None:
    fails = False

    class Failing(threading.local):
        def __init__(self) -> None:
            if fails:
                self.failed = True
                raise LookupError
            self.whole = True

    with unit_of_work():
        local = Failing()
    fails = True
    for _ in range(2):
        with pytest.raises(LookupError):
            _ = local.failed
    fails = False
    assert vars(local) == {"whole": True}


def test_an_init_that_fails_in_code_that_has_outlived_its_unit() -> None:
    fails = False

    class Failing(threading.local):
        def __init__(self) -> None:
            if fails:
                raise LookupError
            self.whole = True

    local, other = Failing(), threading.local()
    with unit_of_work():
        other.x = 1
        outliving = contextvars.copy_context()
    fails = True
    for _ in range(2):
        with pytest.raises(LookupError):
            outliving.run(lambda: local.whole)
    fails = False
    assert outliving.run(vars, local) == {"whole": True}


@pytest.mark.usefixtures("place")
@BASES
def test_slots_are_shared(base: Any) -> None:
    class Slotted(base):  # type: ignore[misc]
        __slots__ = ("shared",)

    local = Slotted()
    local.shared = 1
    local.x = 2
    assert vars(local) == {"x": 2}

    def change() -> Any:
        seen = local.shared
        local.shared = 3
        return seen

    assert in_thread(change) == 1
    assert in_another_unit(change) == 3
    del local.shared
    assert not hasattr(local, "shared")


@pytest.mark.usefixtures("place")
@BASES
def test_hooks_of_a_subclass(base: Any) -> None:
    log = []

    class Hooked(base):  # type: ignore[misc]
        def __getattr__(self, name: str) -> str:
            return f"no {name}"

        def __setattr__(self, name: str, value: Any) -> None:
            log.append(name)
            super().__setattr__(name, value)

        def __delattr__(self, name: str) -> None:
            log.append(f"del {name}")
            super().__delattr__(name)

        def __getattribute__(self, name: str) -> Any:
            return "always" if name == "fixed" else super().__getattribute__(name)

    local = Hooked()
    assert local.x == "no x"
    local.x = 1
    assert local.x == 1
    del local.x
    assert (local.x, local.fixed) == ("no x", "always")
    assert log == ["x", "del x"]


@pytest.mark.usefixtures("place")
@BASES
def test_descriptors_that_come_to_the_class_later(base: Any) -> None:
    class Mixin: ...

    class Late(Mixin, base):  # type: ignore[misc]
        ...

    local = Late()
    local.x = local.y = 1
    Mixin.x = property(lambda self: "property")  # type: ignore[attr-defined]
    assert (local.x, local.y, vars(local)) == ("property", 1, {"x": 1, "y": 1})
    with pytest.raises(AttributeError):
        local.x = 2
    del Mixin.x  # type: ignore[attr-defined]
    local.x = 3
    assert local.x == 3


@pytest.mark.usefixtures("place")
@BASES
def test_a_descriptor_that_does_not_write_gives_way_to_a_value(base: Any) -> None:
    calls = []

    class Cached:
        def __set_name__(self, owner: type, name: str) -> None:
            self.name = name

        def __get__(self, instance: Any, owner: type) -> Any:
            calls.append(self.name)
            instance.__dict__[self.name] = "computed"
            return "computed"

    class Caching(base):  # type: ignore[misc]
        value = Cached()

    local = Caching()
    assert (local.value, local.value, calls) == ("computed", "computed", ["value"])


def test_classes_of_other_metaclasses() -> None:
    class Singleton(type):
        made: Any = None

        def __call__(cls, *args: Any) -> Any:
            cls.made = cls.made or super().__call__(*args)
            return cls.made

    class State(threading.local, metaclass=Singleton): ...

    class Interface(ABC):
        @abstractmethod
        def get(self) -> Any: ...

    class Implementation(threading.local, Interface):
        def get(self) -> Any:
            return value_of(self)

    assert State() is State()
    assert type(Implementation) is ABCMeta
    local = Implementation()
    local.x = 1
    assert (local.get(), in_another_unit(local.get)) == (1, None)
    assert type("Made", (threading.local,), {"x": 2})().x == 2


@pytest.mark.usefixtures("place")
def test_a_lookup_of_the_class_itself() -> None:
    local = threading.local()
    assert local.__class__ is threading.local
    with pytest.raises(TypeError):
        local.__class__ = 5
    with pytest.raises(AttributeError, match="not_there") as raised:
        _ = local.not_there
    assert raised.value.obj is local
    assert isinstance(local, threading.local)
    assert isinstance(local, _thread._local)
    assert local == local
    assert {local: 1}[local] == 1
