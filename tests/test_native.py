"""Auth, sessions, caches, signals and the paginator on the loop; what blocks goes to a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import django
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth import (
    aauthenticate,
    aget_user,
    alogin,
    alogout,
    aupdate_session_auth_hash,
    authenticate,
    get_user,
    login,
)
from django.contrib.auth.hashers import (
    MD5PasswordHasher,
    acheck_password,
    check_password,
    make_password,
)
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.contrib.sessions.backends.cache import SessionStore as CacheSession
from django.contrib.sessions.backends.cached_db import SessionStore as CachedDbSession
from django.contrib.sessions.backends.db import SessionStore as DbSession
from django.contrib.sessions.backends.file import SessionStore as FileSession
from django.core.cache import caches
from django.core.cache.backends.filebased import FileBasedCache
from django.db import connection
from django.dispatch import Signal
from django.http import HttpRequest
from django.test import override_settings

import django_loom
from django_loom import run_sync
from tests.db.support import backend_pid
from tests.loops import LoopRunner
from tests.testapp.models import Author
from tests.threads import noting_threads

pytestmark = pytest.mark.usefixtures("db_tables")
NEEDS_6_0 = pytest.mark.skipif(django.VERSION < (6, 0), reason="new in Django 6.0")


@contextmanager
def no_threads() -> Iterator[None]:
    with noting_threads() as noted:
        yield
    assert noted == []


@pytest.fixture
def run() -> Callable[..., Any]:
    return LoopRunner("asyncio")


class NotingHasher(MD5PasswordHasher):
    """Says in which threads it hashed."""

    algorithm = "noting"
    threads: list[int] = []

    def encode(self, password: str, salt: str) -> str:
        self.threads.append(threading.get_ident())
        return super().encode(password, salt)


@pytest.fixture
def hasher() -> Iterator[type[NotingHasher]]:
    """A hasher that passwords of another one are changed to when they are checked."""
    path = f"{__name__}.NotingHasher"
    md5 = "django.contrib.auth.hashers.MD5PasswordHasher"
    NotingHasher.threads.clear()
    with override_settings(PASSWORD_HASHERS=[path, md5]):
        yield NotingHasher


def request() -> HttpRequest:
    made = HttpRequest()
    made.session = DbSession()
    made.user = AnonymousUser()

    async def auser() -> Any:
        return made.user

    made.auser = auser
    return made


# Auth.


async def make_user() -> User:
    user = await User.objects.acreate_user("ann", password="right")
    permission = await Permission.objects.afirst()
    await user.user_permissions.aadd(permission)
    return user


def test_users_and_sessions_make_no_thread_but_for_the_hashing(
    run: Callable[..., Any], hasher: type[NotingHasher]
) -> None:
    async def main() -> None:
        user = await make_user()
        loop = threading.get_ident()
        assert loop not in hasher.threads
        hasher.threads.clear()
        assert await aauthenticate(username="ann", password="right") == user
        assert await aauthenticate(username="ann", password="wrong") is None
        assert await aauthenticate(username="nobody", password="wrong") is None
        assert await user.acheck_password("right")
        assert len(hasher.threads) >= 4
        assert loop not in hasher.threads
        it = request()
        with no_threads():
            await alogin(it, user, "django.contrib.auth.backends.ModelBackend")
            assert await aget_user(it) == user
            await aupdate_session_auth_hash(it, user)
            await it.session.asave()
            await alogout(it)
            assert (await aget_user(it)).is_anonymous

    run(main)


def test_permissions_make_no_thread(run: Callable[..., Any]) -> None:
    async def main() -> None:
        user = await User.objects.aget(pk=(await make_user()).pk)
        with no_threads():
            permissions = await user.aget_all_permissions()
            assert len(permissions) == 1
            (name,) = permissions
            assert await user.ahas_perm(name)
            assert await user.ahas_perms([name])
            assert await user.ahas_module_perms(name.partition(".")[0])
            assert await user.aget_group_permissions() == set()
            assert await user.aget_user_permissions() == permissions

    run(main)


def test_synchronous_auth_code_on_the_loop_hashes_in_a_thread(
    run: Callable[..., Any], hasher: type[NotingHasher]
) -> None:
    def sync_code() -> None:
        user = User.objects.create_user("ann", password="right")
        assert authenticate(username="ann", password="right") == user
        it = request()
        login(it, user, "django.contrib.auth.backends.ModelBackend")
        assert get_user(it) == user
        user.set_password("new")
        assert user.check_password("new")
        assert check_password("new", make_password("new"))

    async def main() -> None:
        await run_sync(sync_code)
        assert len(hasher.threads) >= 5
        assert threading.get_ident() not in hasher.threads

    run(main)


def test_outside_a_loop_hashing_stays_in_its_thread(hasher: type[NotingHasher]) -> None:
    user = User.objects.create_user("ann", password="right")
    assert user.check_password("right")
    assert set(hasher.threads) == {threading.get_ident()}


def test_a_password_of_an_old_hasher_is_renewed_in_a_thread(
    run: Callable[..., Any], hasher: type[NotingHasher]
) -> None:
    async def main() -> None:
        old = make_password("right", hasher="md5")
        user = await User.objects.acreate(username="ann", password=old)
        assert await user.acheck_password("right")
        await user.arefresh_from_db()
        assert user.password.startswith("noting$")
        assert threading.get_ident() not in hasher.threads

    run(main)


def test_acheck_password_awaits_its_async_setter(
    run: Callable[..., Any], hasher: type[NotingHasher]
) -> None:
    renewed: list[str] = []

    async def setter(password: str) -> None:
        await asyncio.sleep(0)
        renewed.append(password)

    async def main() -> None:
        old = make_password("right", hasher="md5")
        assert await acheck_password("right", old, setter)
        assert renewed == ["right"]
        assert not await acheck_password("wrong", old, setter)
        assert threading.get_ident() not in hasher.threads

    run(main)


# Sessions and caches.


@pytest.mark.parametrize(
    "store", [DbSession, CacheSession, CachedDbSession], ids=["db", "cache", "cached db"]
)
def test_sessions_make_no_thread(run: Callable[..., Any], store: type[Any]) -> None:
    async def main() -> None:
        with no_threads():
            session = store()
            await session.aset("color", "red")
            await session.asave()
            key = session.session_key
            assert await store(key).aget("color") == "red"
            assert await session.aexists(key)
            await session.acycle_key()
            await session.asave()
            assert not await session.aexists(key)
            await session.aflush()
            await store.aclear_expired()

    run(main)


async def use_cache(alias: str) -> None:
    cache = caches[alias]
    await cache.aset("number", 1)
    await cache.aget("number")
    await cache.aget_or_set("other", lambda: 2)
    await cache.aadd("number", 1)
    await cache.aset_many({"a": 1, "b": 2})
    await cache.aget_many(["a", "b"])
    await cache.adelete_many(["a"])
    await cache.atouch("b")
    await cache.ahas_key("b")
    await cache.adelete("b")
    await cache.aclear()


CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "dummy": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
    "db": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "loom_cache"},
    "file": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache"},
}


@pytest.fixture
def all_caches(tmp_path: Any) -> Iterator[None]:
    from django.core.management import call_command

    entries = CACHES | {"file": CACHES["file"] | {"LOCATION": str(tmp_path)}}
    with override_settings(CACHES=entries):
        call_command("createcachetable", verbosity=0)
        connection.close()
        yield
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE loom_cache")


@pytest.mark.usefixtures("all_caches")
@pytest.mark.parametrize("alias", ["default", "dummy", "db"])
def test_caches_that_do_not_block_make_no_thread(run: Callable[..., Any], alias: str) -> None:
    async def main() -> None:
        with no_threads():
            await use_cache(alias)

    run(main)


class MarkedCache(FileBasedCache):
    """Files again, but it says that its waits are no concern of a thread's."""

    waits_on_loop = True


class UnmarkedCache(MarkedCache):
    waits_on_loop = False


def test_a_cache_says_by_a_mark_whether_it_waits_on_the_loop(
    run: Callable[..., Any], tmp_path: Any
) -> None:
    async def main() -> None:
        with no_threads():
            await use_cache("default")
        with noting_threads() as noted:
            await caches["unmarked"].aset("number", 1)
        assert noted

    entries = {
        name: {"BACKEND": f"{__name__}.{cache.__name__}", "LOCATION": str(tmp_path)}
        for name, cache in (("default", MarkedCache), ("unmarked", UnmarkedCache))
    }
    with override_settings(CACHES=entries):
        run(main)


@pytest.mark.usefixtures("all_caches")
def test_a_cache_in_files_works_in_threads(run: Callable[..., Any]) -> None:
    async def main() -> None:
        with noting_threads() as noted:
            await caches["file"].aset("number", 1)
            assert await caches["file"].aget("number") == 1
        assert len(noted) >= 2

    run(main)


@pytest.mark.usefixtures("all_caches")
def test_a_cache_in_the_database_takes_part_in_the_transaction(run: Callable[..., Any]) -> None:
    @django_loom.atomic
    async def undone() -> None:
        await caches["db"].aset("number", 1)
        assert await caches["db"].aget("number") == 1
        raise ZeroDivisionError

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await undone()
        assert await caches["db"].aget("number") is None

    run(main)


@pytest.mark.parametrize("method", ["asave", "aexists", "aload"])
def test_sessions_in_files_still_work(run: Callable[..., Any], tmp_path: Any, method: str) -> None:
    async def main() -> None:
        session = FileSession()
        await session.aset("color", "red")
        await session.asave()
        args = [session.session_key] if method == "aexists" else []
        await getattr(session, method)(*args)

    with override_settings(SESSION_FILE_PATH=str(tmp_path)):
        run(main)


# Signals, paginator.


def test_sync_receivers_of_asend_run_on_the_loop(run: Callable[..., Any]) -> None:
    signal = Signal()
    seen: list[Any] = []

    def sync_receiver(**kwargs: Any) -> str:
        Author.objects.count()
        seen.append(threading.get_ident())
        return "sync"

    async def async_receiver(**kwargs: Any) -> str:
        await Author.objects.acount()
        seen.append(threading.get_ident())
        return "async"

    async def main() -> None:
        signal.connect(sync_receiver)
        signal.connect(async_receiver)
        await Author.objects.acount()
        with no_threads():
            for send in [signal.asend, signal.asend_robust]:
                answers = [answer for _, answer in await send(sender=None)]
                assert sorted(answers) == ["async", "sync"]
        assert set(seen) == {threading.get_ident()}

    run(main)


def test_async_receivers_of_send_in_sync_code_run_on_the_loop(run: Callable[..., Any]) -> None:
    signal = Signal()

    async def receiver(**kwargs: Any) -> int:
        await Author.objects.acount()
        return threading.get_ident()

    async def main() -> None:
        signal.connect(receiver)
        await Author.objects.acount()
        with no_threads():
            for send in [signal.send, signal.send_robust]:
                ((_, answer),) = await run_sync(send, sender=None)
                assert answer == threading.get_ident()

    run(main)


@NEEDS_6_0
def test_the_paginator_makes_no_thread(run: Callable[..., Any]) -> None:
    from django.core.paginator import AsyncPaginator

    async def main() -> None:
        await Author.objects.abulk_create([Author(name=f"{n}") for n in range(5)])
        with no_threads():
            paginator = AsyncPaginator(Author.objects.order_by("pk"), 2)
            assert await paginator.acount() == 5
            page = await paginator.apage(2)
            assert [author.name for author in await page.aget_object_list()] == ["2", "3"]
            assert await page.ahas_next()
            assert [author.name async for author in page] == ["2", "3"]

    run(main)


# The user's own bridges.


def test_the_users_own_sync_to_async_goes_to_a_thread(run: Callable[..., Any]) -> None:
    async def main() -> None:
        for sensitive in [True, False]:
            ident = await sync_to_async(threading.get_ident, thread_sensitive=sensitive)()
            assert ident != threading.get_ident()

        @sync_to_async
        def decorated() -> int:
            return threading.get_ident()

        assert await decorated() != threading.get_ident()

    run(main)


def test_the_users_own_async_to_sync_awaits_on_the_loop(run: Callable[..., Any]) -> None:
    async def where() -> tuple[int, Any]:
        await asyncio.sleep(0)
        return threading.get_ident(), asyncio.get_running_loop()

    def sync_code() -> tuple[int, Any]:
        return async_to_sync(where)()

    async def main() -> None:
        with no_threads():
            expected = threading.get_ident(), asyncio.get_running_loop()
            assert await run_sync(sync_code) == expected

    run(main)


def test_async_to_sync_outside_a_loop_is_asgirefs() -> None:
    async def running() -> bool:
        return asyncio.get_running_loop().is_running()

    assert async_to_sync(running)()


def test_a_transaction_covers_all_of_them(run: Callable[..., Any]) -> None:
    """The user's thread, async_to_sync and Django's own methods share the connection."""

    async def pid() -> int:
        return await run_sync(backend_pid)

    async def main() -> None:
        async with django_loom.atomic():
            pids: list[Awaitable[int]] = [
                pid(),
                run_sync(async_to_sync(pid)),
                sync_to_async(backend_pid)(),
                sync_to_async(async_to_sync(pid))(),
            ]
            assert len(set(await asyncio.gather(*pids))) == 1

    run(main)
