"""When the class is put in place: a project of files, started in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

STATE = "import threading\nfrom threading import local\nstate = threading.local()\n"
FILES = {
    "mysite/__init__.py": "",
    "mysite/settings.py": """
import library, mysite.state
SECRET_KEY = "for the test only"
INSTALLED_APPS = ["before", "django_loom", "after"]
MIDDLEWARE = ["mysite.middleware.CurrentUser"]
ROOT_URLCONF = "mysite.urls"
""",
    "mysite/state.py": STATE + "state.x = 'made by settings'\n",
    # As django-crum has it: a local on the class of its middleware's module.
    "mysite/middleware.py": """
import threading
_thread_locals = threading.local()
class CurrentUser:
    def __init__(self, get_response):
        self.get_response = get_response
    def __call__(self, request):
        _thread_locals.user = request.user
        try:
            return self.get_response(request)
        finally:
            del _thread_locals.user
def get_current_user():
    return getattr(_thread_locals, "user", None)
""",
    "mysite/urls.py": STATE + "urlpatterns = []\n",
    "library.py": STATE,  # of which nothing else tells
    "before/__init__.py": STATE,
    "before/models.py": STATE,
    "after/__init__.py": STATE,
    "after/models.py": STATE,
}
PROGRAM = """
import _thread, logging, threading
import django
from django.core.checks import run_checks
django.setup()
from django_loom.bridge import unit_of_work
import library, before, before.models, after, after.models
import mysite.state, mysite.urls, mysite.middleware
from django_loom.units import Local
assert threading.local is Local is not _thread._local
for module in (library, mysite.state, before, before.models, after, after.models, mysite.urls):
    assert type(module.state) is module.local is Local, module
assert mysite.state.state.x == "made by settings"
with unit_of_work():
    assert not hasattr(mysite.state.state, "x")
assert type(logging._at_fork_reinit_lock_weakset) is not Local
assert [each.id for each in run_checks() if each.id == "django_loom.W003"] == []
"""
TWO_USERS = """
import asyncio
import django
django.setup()
from types import SimpleNamespace
from django_loom import await_, run_sync
from mysite.middleware import CurrentUser, get_current_user
meeting = asyncio.Barrier(20)
def view(request):
    await_(meeting.wait())
    return request.user, get_current_user()
async def main():
    chain = CurrentUser(view)
    users = [SimpleNamespace(user=f"user {n}") for n in range(20)]
    return await asyncio.gather(*(run_sync(chain, request) for request in users))
answers = asyncio.run(main())
assert all(own == seen for own, seen in answers), answers
assert get_current_user() is None
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, source in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
    return tmp_path


def run(project: Path, program: str) -> None:
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(project), *sys.path]),
        "DJANGO_SETTINGS_MODULE": "mysite.settings",
    }
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50, env=environ
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_locals_made_at_each_step_of_the_start_are_of_units(project: Path) -> None:
    run(project, PROGRAM)


def test_apps_listed_later_get_ours_from_the_beginning(project: Path) -> None:
    (project / "after" / "__init__.py").write_text(
        "import threading\nclass State(threading.local):\n    __slots__ = ('shared',)\n"
        "states = [threading.local(), State()]\n"
    )
    run(
        project,
        "import django; django.setup(); import after, threading\n"
        "assert [isinstance(each, threading.local) for each in after.states] == [True, True]\n"
        "from django.core.checks import run_checks\n"
        "assert not any(each.id == 'django_loom.W003' for each in run_checks())\n",
    )


def test_a_middleware_that_keeps_the_user_sees_its_own_in_each_request(project: Path) -> None:
    run(project, TWO_USERS)


def test_a_class_that_another_has_put_there_before_stays(project: Path) -> None:
    run(
        project,
        "import threading\nclass Other: ...\nthreading.local = Other\n"
        "import django; django.setup()\nassert threading.local is Other\n",
    )
