"""Where Django itself calls asgiref's bridges, and which way each call goes.

A test compares the functions with the source of the Django that is installed, so
a release that adds a call is noticed. Those of all supported versions are listed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

Function = Callable[..., Any]
Blocks = Callable[[Function, str], bool]  # the function to run, the name of the caller


@dataclass(frozen=True, slots=True)
class Thread:
    """To a thread, as in Django: the work blocks or burns CPU.

    Django marks such work by ``thread_sensitive=False``: any thread will do. It gets one of
    the ``executor``, if one is named.
    """

    reason: str
    executor: str | None = None

    @property
    def reroutes(self) -> bool:
        """Whether any function goes another way than Django's."""
        return self.executor is not None

    def takes(self, func: Function, thread_sensitive: bool, caller: str) -> bool:
        """Tell if this function runs on the loop."""
        return False


@dataclass(frozen=True, slots=True)
class Bridge:
    """Over the bridge, unless ``blocks`` says that the function would block.

    Beside that a module may have work for a thread of the ``executor``.
    """

    reason: str = ""
    blocks: Blocks | None = None
    executor: str | None = None
    reroutes = True

    def takes(self, func: Function, thread_sensitive: bool, caller: str) -> bool:
        """Tell if this function runs on the loop."""
        return thread_sensitive and (self.blocks is None or not self.blocks(func, caller))


Policy = Bridge | Thread


@dataclass(frozen=True, slots=True)
class CallSites:
    """A module's functions that call ``sync_to_async()``.

    ``app`` is the application without which the module cannot be imported.
    """

    functions: str
    policy: Policy = Bridge()
    app: str | None = None


def _cache_that_blocks(func: Function, caller: str) -> bool:
    """A cache over files or a driver's sockets, unless it says of itself that it does not."""
    return not _waits_on_loop(getattr(func, "__self__", None), otherwise=False)


def _session_in_files(func: Function, caller: str) -> bool:
    return not _waits_on_loop(getattr(func, "__self__", None), otherwise=True)


# Django's own classes, which have no mark of ours.
_WAITS_ON_LOOP = {
    "django.core.cache.backends.db.DatabaseCache": True,
    "django.core.cache.backends.dummy.DummyCache": True,
    "django.core.cache.backends.locmem.LocMemCache": True,
    "django.contrib.sessions.backends.file.SessionStore": False,
}


def _waits_on_loop(owner: object, *, otherwise: bool) -> bool:
    """Tell if what an object waits for, if anything, it awaits by the bridge.

    A class says so by its attribute ``waits_on_loop``.

    :param otherwise: the answer for one that does not say, and is none of Django's.
    """
    mark = _mark_of(owner if isinstance(owner, type) else type(owner))
    return otherwise if mark is None else mark


@cache
def _mark_of(kind: type) -> bool | None:
    for each in kind.__mro__:
        if "waits_on_loop" in vars(each):
            return bool(vars(each)["waits_on_loop"])
        if (known := _WAITS_ON_LOOP.get(f"{each.__module__}.{each.__qualname__}")) is not None:
            return known
    return None


def _view(func: Function, caller: str) -> bool:
    """The view itself, not a middleware, a response's render() or the handler's own."""
    from django.core.handlers.base import BaseHandler
    from django.template.response import SimpleTemplateResponse

    owner = getattr(func, "__self__", None)
    return caller == "_get_response_async" and not isinstance(
        owner, (BaseHandler, SimpleTemplateResponse)
    )


CALL_SITES: dict[str, CallSites] = {
    "django.contrib.auth": CallSites(
        "acheck_password_with_timing_attack_mitigation",
        Thread("hashes a password", "passwords"),
    ),
    "django.contrib.auth.backends": CallSites(
        """BaseBackend.aauthenticate BaseBackend.aget_group_permissions BaseBackend.aget_user
        BaseBackend.aget_user_permissions RemoteUserBackend.aconfigure_user""",
        app="django.contrib.auth",
    ),
    "django.contrib.auth.decorators": CallSites(
        "user_passes_test.decorator._view_wrapper",
    ),
    "django.contrib.auth.hashers": CallSites(
        "acheck_password",
        Thread("hashes a password", "passwords"),
    ),
    "django.contrib.auth.middleware": CallSites(
        "RemoteUserMiddleware.__acall__",
        app="django.contrib.auth",
    ),
    "django.contrib.contenttypes.fields": CallSites(
        """create_generic_related_manager.GenericRelatedObjectManager.aadd
        create_generic_related_manager.GenericRelatedObjectManager.aclear
        create_generic_related_manager.GenericRelatedObjectManager.acreate
        create_generic_related_manager.GenericRelatedObjectManager.aget_or_create
        create_generic_related_manager.GenericRelatedObjectManager.aremove
        create_generic_related_manager.GenericRelatedObjectManager.aset
        create_generic_related_manager.GenericRelatedObjectManager.aupdate_or_create""",
        app="django.contrib.contenttypes",
    ),
    "django.contrib.sessions.backends.base": CallSites(
        """SessionBase.aclear_expired SessionBase.acreate SessionBase.adelete
        SessionBase.aexists SessionBase.aload SessionBase.asave""",
        Bridge("but for sessions in files", _session_in_files),
    ),
    "django.contrib.sessions.backends.db": CallSites(
        "SessionStore.asave.sync_transaction",
    ),
    "django.contrib.staticfiles.handlers": CallSites(
        """ASGIStaticFilesHandler.get_response_async.awrapper
        StaticFilesHandlerMixin.get_response_async""",
        Thread("reads files", "files"),
        app="django.contrib.staticfiles",
    ),
    "django.core.cache.backends.base": CallSites(
        """BaseCache.aadd BaseCache.aclear BaseCache.aclose BaseCache.adelete
        BaseCache.adelete_many BaseCache.aget BaseCache.aget_many BaseCache.aget_or_set
        BaseCache.ahas_key BaseCache.aincr BaseCache.aincr_version BaseCache.aset
        BaseCache.aset_many BaseCache.atouch""",
        Bridge("if the cache never blocks", _cache_that_blocks),
    ),
    "django.core.handlers.asgi": CallSites(
        "ASGIHandler.handle ASGIHandler.read_body",
        Bridge("but for a body that is written to a file", executor="files"),
    ),
    "django.core.handlers.base": CallSites(
        """BaseHandler._get_response_async BaseHandler.adapt_method_mode
        BaseHandler.get_response_async""",
        Bridge("but for views, which may block, and logging", _view),
    ),
    "django.core.handlers.exception": CallSites(
        "convert_exception_to_response.inner",
        Thread("logs the error, which may send mail"),
    ),
    "django.core.paginator": CallSites(
        "AsyncPage.aget_object_list",
    ),
    "django.db.models.base": CallSites(
        "Model.adelete Model.arefresh_from_db Model.asave",
    ),
    "django.db.models.fields.related_descriptors": CallSites(
        """create_forward_many_to_many_manager.ManyRelatedManager.aadd
        create_forward_many_to_many_manager.ManyRelatedManager.aclear
        create_forward_many_to_many_manager.ManyRelatedManager.acreate
        create_forward_many_to_many_manager.ManyRelatedManager.aget_or_create
        create_forward_many_to_many_manager.ManyRelatedManager.aremove
        create_forward_many_to_many_manager.ManyRelatedManager.aset
        create_forward_many_to_many_manager.ManyRelatedManager.aupdate_or_create
        create_reverse_many_to_one_manager.RelatedManager.aadd
        create_reverse_many_to_one_manager.RelatedManager.aclear
        create_reverse_many_to_one_manager.RelatedManager.acreate
        create_reverse_many_to_one_manager.RelatedManager.aget_or_create
        create_reverse_many_to_one_manager.RelatedManager.aremove
        create_reverse_many_to_one_manager.RelatedManager.aset
        create_reverse_many_to_one_manager.RelatedManager.aupdate_or_create""",
    ),
    "django.db.models.query": CallSites(
        """BaseIterable._async_generator QuerySet.__aiter__.generator QuerySet.aaggregate
        QuerySet.abulk_create QuerySet.abulk_update QuerySet.acontains QuerySet.acount
        QuerySet.acreate QuerySet.adelete QuerySet.aearliest QuerySet.aexists
        QuerySet.aexplain QuerySet.afirst QuerySet.aget QuerySet.aget_or_create
        QuerySet.ain_bulk QuerySet.alast QuerySet.alatest QuerySet.aupdate
        QuerySet.aupdate_or_create RawQuerySet.__aiter__.generator aprefetch_related_objects""",
    ),
    "django.dispatch.dispatcher": CallSites(
        "Signal.asend.sync_send Signal.asend_robust.sync_send",
    ),
    "django.http.response": CallSites(
        "StreamingHttpResponse.__aiter__",
        Thread("iterates over what may be a file"),
    ),
    "django.tasks.backends.base": CallSites(
        "BaseTaskBackend.aenqueue BaseTaskBackend.aget_result",
    ),
    "django.tasks.base": CallSites(
        "Task.acall",
        Thread("runs a task, which may block"),
    ),
    "django.test.client": CallSites(
        "AsyncClientHandler.__call__",
        Thread("closes a response, which may be a file"),
    ),
    "django.utils.deprecation": CallSites(
        "MiddlewareMixin.__acall__",
    ),
}

# Where Django calls ``async_to_sync()``. Below ``run_sync()`` each of them, like the
# user's own, awaits on the loop: ``AsyncToSync.__call__`` itself is rebound.
ASYNC_TO_SYNC_SITES: dict[str, str] = {
    "django.contrib.auth.decorators": "user_passes_test.decorator._view_wrapper",
    "django.core.handlers.base": "BaseHandler._get_response BaseHandler.adapt_method_mode",
    "django.dispatch.dispatcher": "Signal.send Signal.send_robust",
    "django.http.response": "StreamingHttpResponse.__iter__",
    "django.tasks.base": "Task.call",
    "django.test.testcases": "SimpleTestCase._setup_and_call",
}
