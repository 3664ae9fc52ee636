"""Code of a project to which a thread is somebody: what the checks find, and what they do not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest
from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.test import override_settings

from django_loom.units import identities
from django_loom.units.checks import check_locks, check_thread_keys

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes `middleware.py` of a package; returns the name of the middleware in it."""
    package = tmp_path / "site_of_the_identities"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    def write(source: str) -> str:
        (package / "middleware.py").write_text(source)
        return f"{package.name}.middleware.Middleware"

    yield write
    for name in [name for name in sys.modules if name.startswith(package.name)]:
        del sys.modules[name]


def messages(check: Callable[[], list[CheckMessage]], middleware: str) -> list[CheckMessage]:
    """What is said of the module of the middleware; our own tests use threads, too."""
    with override_settings(MIDDLEWARE=[*settings.MIDDLEWARE, middleware]):
        module = middleware.rpartition(".")[0]
        return [each for each in check() if str(each.msg).startswith(f"{module} ")]


@pytest.mark.parametrize(
    "source",
    [
        "import threading\nusers[threading.current_thread()] = 1\n",
        "import threading as t\nusers[t.get_ident()] = 1\n",
        "from threading import get_ident\nusers[get_ident()] = 1\n",
        "from threading import currentThread as current\ndef f(): return current().user\n",
        "import _thread\nclass A:\n    key = _thread.get_ident\n",
        "import threading\nthreading.current_thread().user = 1\n",
        "import threading\nfor user in users.get(threading.get_ident()): print(user.name)\n",
    ],
)
def test_a_value_kept_by_the_thread_is_a_warning(write: Write, source: str) -> None:
    middleware = write(source)
    (message,) = messages(check_thread_keys, middleware)
    assert isinstance(message, Warning)
    assert message.id == "django_loom.W004"
    assert f" in line {2 + source.count('class')} " in message.msg
    assert "threading.local" in str(message.hint)
    assert "site_of_the_identities.middleware" not in sys.modules


@pytest.mark.parametrize(
    "source",
    [
        "",
        "not Python: threading.get_ident()",
        "def get_ident(request): ...\nclass A:\n    def f(self): return self.get_ident()\n",
        "from greenlet import getcurrent as get_ident\nget_ident()\n",
        "import threading\nlog(threading.current_thread().name, threading.get_native_id())\n",
        "import threading as t\nis_main = t.current_thread() is t.main_thread()\n",
        "from threading import *\n# get_ident() of a comment\n",
        "import threading\nstate = threading.local()\n",
    ],
)
def test_what_keeps_nothing_by_the_thread_is_not_mentioned(write: Write, source: str) -> None:
    assert messages(check_thread_keys, write(source)) == []


def test_loaded_modules_of_the_project_are_looked_at_too(write: Write, tmp_path: Path) -> None:
    middleware = write("")
    (tmp_path / "site_of_the_identities" / "users.py").write_text(
        "import threading\n\n\ndef key():\n    return threading.get_ident()\n"
    )
    import_module("site_of_the_identities.users")
    with override_settings(MIDDLEWARE=[middleware]):
        found = [each.msg for each in check_thread_keys()]
        assert next(each for each in found if "site_of" in each).startswith(
            "site_of_the_identities.users asks for its thread in line 5 (get_ident): "
        )
        with override_settings(LOOM={"THREAD_LOCALS": ["site_of_the_identities.users"]}):
            assert not [each for each in check_thread_keys() if "site_of" in each.msg]


@pytest.mark.parametrize("lock", ["Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore"])
@pytest.mark.parametrize(
    "source",
    [
        "import threading\nlock = threading.{0}()\n",
        "from threading import {0} as Mutex\nclass Middleware:\n    lock = Mutex()\n",
        "from threading import {0}\ndef Middleware(get_response):\n    lock = {0}()\n",
    ],
    ids=["module", "class", "function"],
)
def test_a_lock_of_threads_in_a_middleware_is_a_warning(
    write: Write, lock: str, source: str
) -> None:
    (message,) = messages(check_locks, write(source.format(lock)))
    assert isinstance(message, Warning)
    assert message.id == "django_loom.W005"
    assert f"({lock})" in message.msg
    assert "asyncio.Lock" in str(message.hint)


@pytest.mark.parametrize(
    "source", ["import asyncio\nlock = asyncio.Lock()\n", "Lock = RLock = 1\n"]
)
def test_other_locks_are_not_mentioned(write: Write, source: str) -> None:
    assert messages(check_locks, write(source)) == []


@pytest.mark.parametrize(
    "middleware",
    ["django.middleware.common.CommonMiddleware", "no.such.middleware.Some", "middleware", "a..b"],
)
@pytest.mark.parametrize("check", [check_locks, check_thread_keys])
def test_middleware_of_django_and_what_cannot_be_found_are_not_mentioned(
    check: Callable[[], list[CheckMessage]], middleware: str
) -> None:
    assert messages(check, middleware) == []


@pytest.mark.parametrize("named", ["ROOT_URLCONF", "SETTINGS_MODULE"])
def test_a_package_is_of_the_project_where_a_setting_names_a_module_of_it(
    write: Write, tmp_path: Path, named: str
) -> None:
    write("")
    (tmp_path / "site_of_the_identities" / "users.py").write_text(
        "import threading\nme = threading.get_ident()\n"
    )
    import_module("site_of_the_identities.users")
    assert not [each for each in identities.thread_keys() if "site_of" in each.module]
    with override_settings(**{named: "site_of_the_identities.urls"}):
        assert [each for each in identities.thread_keys() if "site_of" in each.module]


def test_modules_of_tests_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["views_of_identities", "test_views_of_identities"]
    monkeypatch.syspath_prepend(tmp_path)
    for name in names:
        (tmp_path / f"{name}.py").write_text("import threading\nme = threading.get_ident()\n")
    loaded = [(name, import_module(name)) for name in names]
    monkeypatch.setattr(identities, "project_modules", lambda: loaded)
    found = [use.module for use in identities.thread_keys() if use.module in names]
    for name in names:
        del sys.modules[name]
    assert found == names[:1]
