"""Whose locals stay the thread's: by the module that makes one, or defines a subclass."""

from __future__ import annotations

import _thread
import threading
import types
from abc import ABCMeta
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import override_settings

from django_loom import conf
from django_loom.bridge import unit_of_work
from django_loom.units.policy import belongs_to_threads
from tests.units.tools import in_another_unit, in_thread

SOURCE = """
import threading
made = threading.local()
class Sub(threading.local):
    def __init__(self, *given):
        super().__init__()
        self.given = given
    def __setattr__(self, name, value):
        super().__setattr__(name, value)
sub = Sub(1)
def make(cls=threading.local):
    return cls()
"""


def module(name: str | None) -> dict[str, Any]:
    """The names of a module with this name."""
    names: dict[str, Any] = {} if name is None else {"__name__": name}
    exec(SOURCE, names)
    return names


def of_threads(local: Any) -> bool:
    """Whether a unit sees the thread's value, and a thread does not see the unit's."""
    local.x = "thread"
    in_unit = in_another_unit(lambda: getattr(local, "x", None))
    assert in_thread(lambda: getattr(local, "x", None)) is None
    with unit_of_work():
        local.x = "unit"
    assert in_unit in ("thread", None)
    assert (local.x == "unit") == (in_unit == "thread")
    return in_unit == "thread"


EXCLUDED = [
    "asgiref.sync",
    "concurrent.futures.thread",
    "coverage",
    "django.utils.translation.trans_real",
    "django_loom.http.handler",
    "gevent._hub_local",
    "gunicorn.workers.gthread",
    "logging",
    "psycopg_pool.pool",
    "queue",
    "sqlite3",
    "twisted.python.threadable",
    "uvicorn.server",
    "uvloop",
]
INCLUDED = ["__main__", "crum", "django_tenants.utils", "mptt.models", "mysite.django", "requests"]


@pytest.mark.parametrize("name", EXCLUDED)
def test_what_needs_threads_gets_real_ones(name: str) -> None:
    names = module(name)
    for local in (names["made"], names["make"](), names["sub"]):
        assert of_threads(local)
        assert isinstance(local, threading.local)
        assert isinstance(local, _thread._local)
    assert names["sub"].given == (1,)
    assert in_thread(lambda: names["sub"].given) == (1,)
    assert type(names["made"]).__getattribute__ is _thread._local.__getattribute__


@pytest.mark.parametrize("name", [*INCLUDED, None], ids=str)
def test_all_others_get_those_of_units(name: str | None) -> None:
    names = module(name)
    for local in (names["made"], names["make"](), names["sub"]):
        assert not of_threads(local)
    assert in_another_unit(lambda: names["sub"].given) == (1,)


def test_a_class_that_is_made_by_a_call_has_no_module_to_decide() -> None:
    assert not of_threads(types.new_class("Made", (threading.local,))())
    assert not of_threads(ABCMeta("Made", (threading.local,), {})())
    assert not of_threads(type("Made", (threading.local,), {})())


def test_the_module_that_defines_a_subclass_decides_not_who_makes_one() -> None:
    outer, inner = module("mysite.state"), module("asgiref.sync")
    assert not of_threads(inner["make"](outer["Sub"]))
    assert of_threads(outer["make"](inner["Sub"]))

    class Own(inner["Sub"]):  # type: ignore[misc]
        ...

    assert of_threads(Own())


def test_one_made_in_a_unit_by_what_needs_threads() -> None:
    with unit_of_work():
        names = module("asgiref.sync")
    assert (names["sub"].given, vars(names["sub"])) == ((1,), {"given": (1,)})
    assert of_threads(names["made"])


def test_the_setting_names_more() -> None:
    with override_settings(LOOM={"THREAD_LOCALS": ["vendor.sdk"]}):
        names = module("vendor.sdk.client")
        assert of_threads(names["made"])
        assert of_threads(names["sub"])
        assert belongs_to_threads("vendor.sdk")
        assert not belongs_to_threads("vendor")
        assert not belongs_to_threads("vendor.sdks")
    assert not belongs_to_threads("vendor.sdk")


@pytest.mark.parametrize(
    "loom", [None, "loop", {"THREAD_LOCALS": 5}, {"THREAD_LOCALS": "crum"}, {"THREADS": 0}], ids=str
)
def test_a_mistake_in_the_settings_is_not_reported_here(loom: object) -> None:
    with override_settings(LOOM=loom):
        assert not belongs_to_threads("crum")


def test_settings_that_are_not_there_yet_are_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conf, "settings", LazySettings())
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "no.such.settings")
    assert not belongs_to_threads("crum")
