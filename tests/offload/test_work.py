"""What goes to which executor, and that one kind of work holds up no other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.apps import apps
from django.contrib.auth import hashers
from django.contrib.auth.hashers import BasePasswordHasher
from django.http import FileResponse, HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path
from django.utils.log import AdminEmailHandler

from django_loom import run_sync
from django_loom.asgi import get_asgi_application
from django_loom.db.postgresql import cancelling
from django_loom.exceptions import LoomSettingError
from django_loom.offload import executor, executors
from django_loom.offload.conf import EXECUTORS
from django_loom.reroute_table import CALL_SITES
from tests.http.asgi import Connection, start
from tests.loops import LoopRunner
from tests.polling import aeventually, eventually

from .tools import Gate

FEW = {"files": 2, "passwords": 2, "mail": 2, "cancellations": 2}


class Hashing:
    """Hashes last as long as the gate is shut."""

    gate: Gate
    threads: set[str]


class SlowHasher(BasePasswordHasher):
    algorithm = "slow"

    def encode(self, password: str, salt: str) -> str:
        Hashing.threads.add(threading.current_thread().name)
        Hashing.gate()
        return "slow$1$x"

    def verify(self, password: str, encoded: str) -> bool:
        return bool(self.encode(password, ""))

    def must_update(self, encoded: str) -> bool:
        return False


@pytest.fixture(autouse=True)
def few_threads() -> Iterator[None]:
    Hashing.gate, Hashing.threads = Gate(), set()
    with override_settings(LOOM={"EXECUTORS": FEW}, PASSWORD_HASHERS=[f"{__name__}.SlowHasher"]):
        yield
        Hashing.gate.open.set()


HASHES: dict[str, Callable[[], Any]] = {
    "acheck_password": lambda: hashers.acheck_password("secret", "slow$1$x"),
    "check_password": lambda: run_sync(hashers.check_password, "secret", "slow$1$x"),
    "make_password": lambda: run_sync(hashers.make_password, "secret"),
}


@pytest.fixture(params=HASHES)
def hash_(request: pytest.FixtureRequest) -> Callable[[], Any]:
    return HASHES[request.param]


async def download(request: HttpRequest) -> HttpResponse | FileResponse:
    return FileResponse(Path(__file__).open("rb"))  # noqa: ASYNC230


urlpatterns = [path("file", download)]


async def read_a_file() -> None:
    with override_settings(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["testserver"]):
        connection = Connection({"type": "http.request"})
        await start(connection, "GET", "/file", application=get_asgi_application())
    assert connection.status == 200
    assert executor("files").statistics().uses > 0


async def mail_an_error() -> None:
    threads: list[str] = []

    def note(*args: Any, **kwargs: Any) -> None:
        threads.append(threading.current_thread().name)

    with patch("django.core.mail.mail_admins", note):
        await run_sync(AdminEmailHandler().send_mail, "An error", "of a view")
    assert threads == ["django_loom-mail_0"]


async def cancel_a_query() -> None:
    """With a libpq that can't do it without a thread."""

    class Request:
        def cancel(self) -> None:
            threads.append(threading.current_thread().name)

    class Connection:
        get_cancel = Request

    threads: list[str] = []
    with patch.object(cancelling.capabilities, "has_cancel_safe", lambda: False):
        await cancelling._cancel(Connection())  # type: ignore[arg-type]
    assert threads == ["django_loom-cancellations_0"]


@pytest.mark.filterwarnings("ignore:.*default mailer")  # Django 6.1, of the handler itself
@pytest.mark.parametrize("other", [read_a_file, mail_an_error, cancel_a_query])
def test_more_hashes_than_threads_hold_up_no_other_work(
    loop_runner: LoopRunner, hash_: Callable[[], Any], other: Callable[[], Any]
) -> None:
    async def main() -> None:
        hashes = [asyncio.create_task(hash_()) for _ in range(20)]
        await aeventually(lambda: executor("passwords").statistics().used == 2)
        try:
            assert executor("passwords").statistics().pending_requests == 18
            await other()
            assert not any(task.done() for task in hashes)
        finally:
            Hashing.gate.open.set()
            await asyncio.gather(*hashes)

    loop_runner(main)
    assert Hashing.threads <= {"django_loom-passwords_0", "django_loom-passwords_1"}


ROUTES = {
    module: sites.policy.executor
    for module, sites in CALL_SITES.items()
    if sites.policy.executor
    and apps.is_installed(sites.app or "django_loom")
    and hasattr(import_module(module), "sync_to_async")  # not in each version of Django
}


@pytest.mark.parametrize(("module", "name"), ROUTES.items())
def test_what_django_gives_to_any_thread_goes_to_one_of_ours(
    loop_runner: LoopRunner, module: str, name: str
) -> None:
    sync_to_async = import_module(module).sync_to_async

    async def main() -> None:
        ran = await sync_to_async(threading.current_thread, thread_sensitive=False)()
        assert ran.name == f"django_loom-{name}_0"

    loop_runner(main)


def test_hashes_leave_the_default_executor_of_the_loop_alone(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        hashes = [asyncio.create_task(HASHES["acheck_password"]()) for _ in range(100)]
        await aeventually(lambda: executor("passwords").statistics().used == 2)
        assert await asyncio.to_thread(int) == 0
        for task in hashes:
            task.cancel()
        await aeventually(lambda: executor("passwords").statistics().pending_requests == 0)
        Hashing.gate.open.set()
        await asyncio.wait(hashes)

    loop_runner(main)


def test_a_request_to_cancel_that_stalls_is_left_to_its_thread(loop_runner: LoopRunner) -> None:
    """Who asks for it closes the connection after a while, and waits no longer."""

    async def main() -> None:
        gate = Gate()

        class Connection:
            get_cancel = staticmethod(lambda: type("Request", (), {"cancel": staticmethod(gate)}))

        with patch.object(cancelling.capabilities, "has_cancel_safe", lambda: False):
            asking = asyncio.create_task(cancelling._cancel(Connection()))  # type: ignore[arg-type]
            await aeventually(gate.begun.is_set)
            asking.cancel()
            await asyncio.wait([asking])
            assert asking.cancelled()
            assert not gate.ended.is_set()
        gate.open.set()
        await aeventually(gate.ended.is_set)

    loop_runner(main)


def test_there_is_one_executor_for_each_kind_of_work() -> None:
    assert executors().keys() == EXECUTORS.keys()
    assert executors() == executors()
    assert executor("mail") is executors()["mail"]
    assert get_asgi_application().executors == executors()


def test_the_setting_says_how_many_threads_each_has() -> None:
    def threads() -> dict[str, int]:
        return {name: each.statistics().max for name, each in executors().items()}

    assert threads() == FEW
    with override_settings(LOOM={"EXECUTORS": {"mail": 1}}):
        assert threads() == {**EXECUTORS, "mail": 1}
    with override_settings(LOOM={"EXECUTORS": {"post": 1}}), pytest.raises(LoomSettingError):
        threads()
    assert threads() == FEW


def test_threads_of_a_server_that_stops_end_when_their_work_is_done(
    loop_runner: LoopRunner,
) -> None:
    async def main() -> None:
        gates = [Gate() for _ in range(3)]
        sending = [asyncio.create_task(executor("mail").run(gate)) for gate in gates]
        await aeventually(lambda: executor("mail").statistics().used == 2)
        await serve_and_stop()
        for gate in gates:
            gate.open.set()
        await asyncio.gather(*sending)

    loop_runner(main)
    eventually(lambda: not any("django_loom-mail" in each.name for each in threading.enumerate()))


async def serve_and_stop() -> None:
    connection = Connection({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    application = get_asgi_application()
    await application({"type": "lifespan"}, connection.receive, connection.send)
    assert [message["type"] for message in connection.sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
