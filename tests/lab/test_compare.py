"""loom lab compare: a user's project under each server, and what it refuses to measure."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from django_loom.lab.cli.main import lab
from django_loom.lab.exceptions import ServerError, UsageError
from django_loom.lab.servers import server as servers_module
from django_loom.lab.servers.project import Project, described
from django_loom.lab.servers.project_modules import write_modules
from django_loom.lab.servers.same_answers import check_alike
from django_loom.lab.servers.server import Answer

SETTINGS = """
SECRET_KEY = "of a test"
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "mysite.urls"
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3", "CONN_MAX_AGE": 60}
}
"""
URLS = """
from django.db import connection
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import path


def engine(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 'answered'")
        answer = cursor.fetchone()[0]
    return HttpResponse(f"{answer} by {connection.settings_dict['ENGINE']}")


def private(request):
    return HttpResponse("yours") if request.COOKIES.get("key") == "k" else redirect("/login/")


urlpatterns = [path("engine/", engine), path("private/", private)]
"""
QUICK = ("-c", "2", "--repeats", "1", "--seconds", "0.05")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory of a project; what is temporary is in `temporary` beside it."""
    package = tmp_path / "project" / "mysite"
    package.mkdir(parents=True)
    package.joinpath("__init__.py").touch()
    package.joinpath("settings.py").write_text(SETTINGS)
    package.joinpath("urls.py").write_text(URLS)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr("django_loom.lab.cli.compare.signal.signal", lambda *args: None)
    yield package.parent
    assert not list(temporary.iterdir())


@pytest.fixture
def pids(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processes of the servers that a test starts."""
    noted: list[int] = []
    start = servers_module.Server.__init__

    def note(self: servers_module.Server, *args: Any) -> None:
        start(self, *args)
        noted.append(self.process.pid)

    monkeypatch.setattr(servers_module.Server, "__init__", note)
    return noted


def compare(site: Path, *arguments: str) -> Result:
    out = site.parent / "out"
    command = ["compare", "--chdir", str(site), "--out", str(out), *QUICK, *arguments]
    return CliRunner().invoke(lab, command, catch_exceptions=False)


def files(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and not path.name.startswith("db.sqlite3")
    }


def test_a_project_is_compared_under_all_servers_and_left_as_it_was(
    site: Path, pids: list[int]
) -> None:
    before = files(site)
    result = compare(site, "--django", "mysite.settings", "--path", "/engine/")
    assert result.exit_code == 0, result.stderr
    (report,) = site.parent.glob("out/compare-engine-*")
    results = json.loads(report.joinpath("results.json").read_text())
    assert results["complete"]
    assert results["subject"] == "/engine/"
    assert results["conditions"]["settings"] == "mysite.settings"
    assert {each["server"] for each in results["samples"]} == {"wsgi", "threads", "asgi", "loom"}
    assert all(set(each["result"]["statuses"]) == {"200"} for each in results["samples"])
    # The engine's name is in the page, so this page is another one with loom.
    assert "do not answer alike: gunicorn sync: 200, 38 bytes;" in result.stdout
    assert "loom: 200, 34 bytes" in result.stdout
    assert "DEBUG is on" in result.stdout
    assert report.joinpath("report.html").is_file()
    assert files(site) == before
    assert len(pids) == 4
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_each_path_has_its_report_and_its_requests_have_the_cookies(site: Path) -> None:
    paths = ("--path", "/private/", "--path", "/private/?page=2")
    result = compare(
        site, "--django", "mysite.settings", *paths, "-C", "key=k", "--servers", "threads"
    )
    assert result.exit_code == 0, result.stderr
    names = sorted(path.name for path in site.parent.glob("out/*"))
    assert len(names) == 2
    assert names[0].startswith("compare-private-")


def test_a_page_that_redirects_is_not_measured(site: Path) -> None:
    result = compare(
        site, "--django", "mysite.settings", "--path", "/private/", "--servers", "wsgi,threads"
    )
    assert result.exit_code == 2
    assert "/private/ answers 302 (to /login/), and only 2xx is measured" in result.stderr
    assert "gunicorn sync: 3 of 302; gunicorn 10 threads: 3 of 302" in result.stderr
    assert "--cookie" in result.stderr
    assert not site.parent.joinpath("out").exists()


def test_a_page_that_is_not_there_is_not_measured(site: Path) -> None:
    result = compare(
        site, "--django", "mysite.settings", "--path", "/nowhere/", "--servers", "wsgi"
    )
    assert result.exit_code == 2
    assert "/nowhere/ answers 404" in result.stderr


def test_settings_that_cannot_be_imported_are_shown_with_the_last_lines(site: Path) -> None:
    site.joinpath("mysite", "settings.py").write_text("import nothing_such\n")
    result = compare(site, "--django", "mysite.settings", "--path", "/")
    assert result.exit_code == 2
    assert "cannot set up Django with the settings 'mysite.settings'" in result.stderr
    assert "No module named 'nothing_such'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--path", "/"], "Missing option '--django'"),
        (["--django", "x"], "Missing option '--path'"),
        (["--django", "x", "--path", "reports"], "expected a path such as /reports/"),
        (["--django", "x", "--path", "/", "--servers", "nginx"], "there is no server 'nginx' here"),
        (["--django", "x", "--path", "/", "-c", "0"], "clients must be from 1"),
        (["--django", "x", "--path", "/", "-H", "none"], "expected a header such as"),
    ],
)
def test_a_mistake_is_one_clear_message(site: Path, arguments: list[str], message: str) -> None:
    result = compare(site, *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_what_the_settings_say(site: Path) -> None:
    assert described("mysite.settings", site) == Project(
        "mysite.settings", site, {"default": "django.db.backends.sqlite3"}, debug=True
    )


def test_an_engine_without_a_counterpart_is_refused_for_loom_only(tmp_path: Path) -> None:
    project = Project("mysite.settings", tmp_path, {"default": "django.db.backends.mysql"}, False)
    with pytest.raises(UsageError, match=r"no engine for 'django.db.backends.mysql'.*--servers"):
        project.kinds(("asgi", "loom"), tmp_path, ())
    assert [each.name for each in project.kinds(("wsgi", "asgi"), tmp_path, ())] == ["wsgi", "asgi"]


def loom_settings(
    directory: Path, monkeypatch: pytest.MonkeyPatch, **project: Any
) -> dict[str, Any]:
    """What the settings with loom say, of a project with these."""
    module = ModuleType("settings_of_a_test")
    vars(module).update(project)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    write_modules(directory, module.__name__)
    found: dict[str, Any] = {}
    exec(directory.joinpath("lab_loom_settings.py").read_text(), found)
    return found


def test_the_engines_are_replaced_and_the_rest_of_a_database_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    databases = {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "shop",
            "CONN_MAX_AGE": 60,
            "OPTIONS": {"pool": {"max_size": 4}, "sslmode": "require"},
        },
        "places": {"ENGINE": "django.contrib.gis.db.backends.postgis"},
        "none": {},
    }
    found = loom_settings(tmp_path, monkeypatch, DATABASES=databases)
    assert found["DATABASES"] == {
        "default": {
            "ENGINE": "django_loom.db.postgresql",
            "NAME": "shop",
            "OPTIONS": {"pool": {"max_size": 4}, "sslmode": "require"},
        },
        "places": {"ENGINE": "django_loom.db.postgis", "OPTIONS": {"pool": True}},
        "none": {},
    }
    assert databases["default"]["CONN_MAX_AGE"] == 60


@pytest.mark.parametrize("apps", [("shop",), ["shop", "django_loom"]])
def test_the_app_is_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apps: list[str]
) -> None:
    found = loom_settings(tmp_path, monkeypatch, INSTALLED_APPS=apps)
    assert found["INSTALLED_APPS"] == ["django_loom", "shop"]


def scripted(**answers: list[Answer | None]) -> dict[str, Any]:
    """Servers that give these answers."""
    return {
        name: SimpleNamespace(
            kind=SimpleNamespace(label=name, page="/page/"),
            ask=iter(each).__next__,
            process=SimpleNamespace(last_lines=lambda: "oops"),
        )
        for name, each in answers.items()
    }


GOOD = Answer(200, 10, None)


def test_nothing_is_noted_of_servers_that_answer_alike() -> None:
    assert check_alike(scripted(wsgi=[GOOD] * 3, loom=[GOOD] * 3)) == []


def test_another_length_is_noted() -> None:
    longer = replace(GOOD, length=1200)
    (note,) = check_alike(scripted(wsgi=[GOOD] * 3, loom=[longer] * 3))
    assert note == ("The servers do not answer alike: wsgi: 200, 10 bytes; loom: 200, 1,200 bytes.")


def test_a_page_whose_length_varies_is_not_compared() -> None:
    (note,) = check_alike(scripted(wsgi=[GOOD, replace(GOOD, length=11), GOOD], loom=[GOOD] * 3))
    assert "varies by itself" in note


@pytest.mark.parametrize(
    ("status", "hint"),
    [(302, "--cookie"), (400, "ALLOWED_HOSTS"), (403, "--cookie"), (404, "--path"), (500, "DEBUG")],
)
def test_one_server_with_errors_is_enough_to_stop(status: int, hint: str) -> None:
    bad = Answer(status, 0, None)
    with pytest.raises(ServerError) as raised:
        check_alike(scripted(wsgi=[GOOD] * 3, loom=[GOOD, bad, bad]))
    assert f"/page/ answers {status}, and only 2xx is measured" in str(raised.value)
    assert f"wsgi: 3 of 200; loom: 1 of 200, 2 of {status}" in str(raised.value)
    assert hint in str(raised.value)


def test_a_server_that_goes_away_is_named_with_its_last_lines() -> None:
    with pytest.raises(ServerError, match=r"loom did not answer /page/; its last lines:\noops"):
        check_alike(scripted(loom=[GOOD, None, GOOD]))
