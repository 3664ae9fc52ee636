"""The system checks: each id, and what brings it about."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.checks import Error, Warning, registry, run_checks
from django.test import override_settings

from django_loom import checks
from django_loom.db.checks import check_engines
from django_loom.http.checks import check_asgi_module
from django_loom.units.checks import check_locks, check_thread_keys, check_thread_locals
from tests.db.support import database

POSTGRESQL = {"ENGINE": "django_loom.db.postgresql", "NAME": "nowhere"}


@pytest.fixture
def stock() -> Iterator[None]:
    with database("stock", ENGINE="tests.fake_engine", NAME="nowhere"):
        yield


def test_the_settings_of_the_tests_are_right() -> None:
    assert check_engines() == []


@pytest.mark.usefixtures("stock")
def test_an_engine_that_blocks_is_an_error() -> None:
    (message,) = check_engines()
    assert isinstance(message, Error)
    assert message.id == "django_loom.E001"
    assert "'stock'" in message.msg
    assert "'tests.fake_engine'" in message.msg
    assert "django_loom.db.threaded.ThreadedDatabaseMixin" in str(message.hint)


def test_a_pool_beside_conn_max_age_is_a_warning() -> None:
    with database("kept", **POSTGRESQL, CONN_MAX_AGE=60, OPTIONS={"pool": {"max_size": 1}}):
        (message,) = check_engines()
    assert isinstance(message, Warning)
    assert message.id == "django_loom.W001"
    assert "'kept'" in message.msg
    assert "max_lifetime" in str(message.hint)


@pytest.mark.parametrize(
    "entry",
    [
        {**POSTGRESQL, "CONN_MAX_AGE": 60},
        {**POSTGRESQL, "OPTIONS": {"pool": True}},
        {"ENGINE": "django.db.backends.dummy"},
        {"ENGINE": "tests.fake_engine.on_loop", "NAME": "nowhere"},
    ],
    ids=["max age without pool", "pool without max age", "no database", "threaded"],
)
def test_what_works_is_not_mentioned(entry: dict[str, object]) -> None:
    with database("fine", **entry):
        assert check_engines() == []


@pytest.mark.usefixtures("stock")
def test_django_runs_the_checks_without_being_asked_for_those_of_databases() -> None:
    assert "django_loom.E001" in [message.id for message in run_checks()]


# The setting LOOM.


def test_a_loom_setting_that_is_not_valid_is_an_error() -> None:
    with override_settings(LOOM={"THREADS": 0}):
        (message,) = checks.check_loom_setting()
    assert isinstance(message, Error)
    assert message.id == "django_loom.E002"
    assert message.msg == "LOOM['THREADS'] must be a whole number of at least 1; it is 0."
    assert "page on settings" in str(message.hint)


def test_a_loom_setting_that_is_valid_is_not_mentioned() -> None:
    with override_settings(LOOM={"THREADS": 1}):
        assert checks.check_loom_setting() == []


# The ASGI module.

STOCK = "from django.core.asgi import get_asgi_application\napplication = get_asgi_application()\n"
OURS = STOCK.replace("django.core", "django_loom")


@pytest.fixture
def asgi_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """`asgi.py` of a package `site_of_the_check`, on the path."""
    package = tmp_path / "site_of_the_check"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield package / "asgi.py"
    sys.modules.pop(package.name, None)


ASGI = {"ASGI_APPLICATION": "site_of_the_check.asgi.application"}
WSGI = {"WSGI_APPLICATION": "site_of_the_check.wsgi.application"}


@pytest.mark.parametrize("project", [ASGI, WSGI], ids=["ASGI_APPLICATION", "WSGI_APPLICATION"])
@pytest.mark.parametrize(
    "source",
    [
        STOCK,
        "import django.core.asgi\n",
        "from django.core import asgi\n",
        "try:\n    from django.core.asgi import get_asgi_application\nexcept ImportError: ...\n",
    ],
    ids=["from", "import", "module", "nested"],
)
def test_djangos_own_application_is_a_warning(
    asgi_module: Path, project: dict[str, str], source: str
) -> None:
    asgi_module.write_text(source)
    with override_settings(**project):
        (message,) = check_asgi_module()
    assert isinstance(message, Warning)
    assert message.id == "django_loom.W002"
    assert str(asgi_module) in message.msg
    assert "from django_loom.asgi import get_asgi_application" in str(message.hint)
    assert "site_of_the_check.asgi" not in sys.modules


@pytest.mark.parametrize(
    "source",
    [
        OURS,
        "import django_loom.asgi\n",
        OURS + STOCK,
        "",
        "from . import other\n",
        "not Python",
        "\0",
    ],
    ids=["ours", "import", "both", "empty", "relative", "no syntax", "no text"],
)
def test_other_modules_are_not_mentioned(asgi_module: Path, source: str) -> None:
    asgi_module.write_text(source)
    with override_settings(**ASGI):
        assert check_asgi_module() == []


@pytest.mark.parametrize(
    "project",
    [
        {},
        {"ASGI_APPLICATION": None, "WSGI_APPLICATION": None},
        {"WSGI_APPLICATION": "wsgi.application"},
        {"ASGI_APPLICATION": "nowhere.asgi.application"},
        {"ASGI_APPLICATION": "application"},
        {"ASGI_APPLICATION": "sys.application"},
        ASGI,
    ],
    ids=str,
)
@pytest.mark.usefixtures("asgi_module")
def test_a_module_that_cannot_be_found_is_not_mentioned(project: dict[str, str]) -> None:
    with override_settings(**project):
        assert check_asgi_module() == []


# All of them.


@pytest.mark.parametrize(
    "check",
    [
        check_engines,
        checks.check_loom_setting,
        check_asgi_module,
        check_thread_locals,
        check_thread_keys,
        check_locks,
    ],
)
def test_django_runs_each_check(check: Callable[..., object]) -> None:
    assert check in registry.registry.registered_checks


def test_each_id_is_documented_once() -> None:
    """In whichever room a check is."""
    sources = [path.read_text() for path in Path(checks.__file__).parent.rglob("checks.py")]
    ids = re.findall(r'id="(django_loom\.[EW]\d{3})"', "".join(sources))
    assert sorted(ids) == re.findall(r"``(django_loom\.[EW]\d{3})``", str(checks.__doc__))
    assert len(ids) == len(set(ids)) == 7
