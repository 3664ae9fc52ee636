"""The ASGI handler: one greenlet for each request, through Django's synchronous chain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from inspect import CO_COROUTINE
from types import MethodType
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.core import signals
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.handlers.exception import response_for_exception
from django.http import FileResponse
from django.urls import set_script_prefix

from django_loom.bridge import await_, run_sync, unit_in_context
from django_loom.conf import loom_settings
from django_loom.exceptions import (
    BodyTimeout,
    BodyTooLarge,
    FileUnreadable,
    UnsupportedProtocol,
)
from django_loom.offload import Executor, close_executors, executors

from .arriving import arriving_body, close_uploads
from .body import Receive, RequestBody
from .collector import set_collector
from .files import FilePart, prepare_file, send_file
from .hooks import DatabaseHooks
from .leaving import tells_of_leaving_only
from .lifespan import Lifespan, no_lifespan, serve_lifespan
from .placement import runs_in_thread
from .release import release
from .request_unit import RequestUnit
from .requests import LoomRequest
from .responses import (
    Send,
    send_async_content,
    send_head,
    send_no_content,
    send_response,
    until_client_leaves,
)
from .streams import SyncStreams
from .view_calls import View, ViewCalls
from .view_threads import ThreadUse, ViewThreads

Scope = dict[str, Any]

FILE_BLOCK_BYTES = 2**18
_STATUS_OF_FAULT: dict[type, int] = {BodyTooLarge: 413, BodyTimeout: 408}


class LoomHandler(ASGIHandler):
    """Serves HTTP and lifespan.

    Middleware runs synchronously, in one greenlet for each request; what is async
    is awaited from there. No thread is used but for synchronous views, where
    ``LOOM["SYNC_VIEWS"]`` or their own mark says so.
    """

    request_class = LoomRequest
    _middleware_chain: Any

    def __init__(self, database: DatabaseHooks, lifespan: Lifespan = no_lifespan) -> None:
        self.settings = loom_settings()
        self._database = database
        self._lifespan = lifespan
        self._loop: asyncio.AbstractEventLoop | None = None  # which served last
        queue, leases = self.settings.THREAD_QUEUE, database.thread_leases
        self.threads = ViewThreads(self.settings.THREADS, queue, leases)
        self.stream_threads = ViewThreads(
            self.settings.STREAM_THREADS, queue, leases, ThreadUse.STREAMS
        )
        self._views = ViewCalls(database, self.threads)
        self._streams = SyncStreams(database, self.stream_threads, self.threads)
        super().__init__()

    @property
    def executors(self) -> dict[str, Executor]:
        """Those of the process, for other work than views, by their names."""
        return executors()

    def load_middleware(self, is_async: bool = False) -> None:
        """Build the synchronous chain, whatever is asked for."""
        super().load_middleware(is_async=False)
        self._middleware_chain = _with_exact_status(self._middleware_chain)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of the server's.

        :raises UnsupportedProtocol: the server offers neither HTTP nor lifespan.
        """
        if self._loop is not (loop := asyncio.get_running_loop()):
            self._loop = loop
            self._database.serves(loop)
        if scope["type"] == "http":
            await super().__call__(scope, receive, send)
        elif scope["type"] == "lifespan":
            await serve_lifespan(self._life_of_process(), scope, receive, send)
        else:
            raise UnsupportedProtocol(
                f"This application serves 'http' and 'lifespan', and the server offered "
                f"{scope['type']!r}. Route other protocols elsewhere before they get here."
            )

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request. When the client leaves, its view is cancelled."""
        task = asyncio.current_task()
        body = RequestBody(receive, self.settings, task.cancel if task else lambda: None)
        try:
            await self._serve(scope, body, until_client_leaves(send, at_the_end=body.close))
        except Exception as error:
            if not tells_of_leaving_only(error):
                raise
        except asyncio.CancelledError:
            # Only the cancellation that the disconnect asked for ends here.
            if task is None or not body.disconnected or task.cancelling() > 1:
                raise
        finally:
            body.close()
            if task is not None and body.disconnected:
                task.uncancel()  # also where nobody has noticed it

    async def _serve(self, scope: Scope, body: RequestBody, send: Send) -> None:
        with RequestUnit(scope):
            stream = await run_sync(self._respond, scope, body, send)
            if stream is not None:
                await self._send_stream(scope, *stream, body, send)
                if body.lasted:
                    _release_later(body, [stream[0]])

    def _respond(
        self, scope: Scope, body: RequestBody, send: Send
    ) -> tuple[LoomRequest, Any, FilePart | None] | None:
        """Serve a request in its greenlet, but for a response that is still to be made.

        :return: that response, its request, and the part of a file that it is.
        """
        request, response, part = self.answer(scope, body)
        if response.streaming and request is not None:
            return request, response, part
        try:
            # In this greenlet, as another one for close() costs more than the two waits.
            await_(send_response(response, send, with_content=scope["method"] != "HEAD"))
        finally:
            body.close()
            response.close()
        if body.lasted and request is not None:
            _release_later(body, [request])
        return None

    def answer(
        self, scope: Scope, body: RequestBody
    ) -> tuple[LoomRequest | None, Any, FilePart | None]:
        """Take a request through middleware and view; return both, and the part of a file."""
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=self.__class__, scope=scope)
        request, response = self.create_request(scope, body)
        part = None
        try:
            if request is not None:
                response = self.get_response(request)
                if not isinstance(request, LoomRequest):  # middleware has changed its class
                    response._resource_closers.append(MethodType(close_uploads, request))
                if isinstance(response, FileResponse):
                    response, part = _prepared(request, response)
        except BaseException:  # cancelled, mostly: there will be no response to close
            request.close()
            close_uploads(request)
            signals.request_finished.send(sender=self.__class__)
            raise
        response._handler_class = self.__class__
        return request, response, part

    async def _send_stream(
        self,
        scope: Scope,
        request: LoomRequest,
        response: Any,
        part: FilePart | None,
        body: RequestBody,
        send: Send,
    ) -> None:
        if part is None and not response.is_async:
            place = _streams_in_thread(request)
            await self._streams.send(
                request, response, send, in_thread=place, at_the_end=body.close
            )
            return
        try:
            await send_head(response, send)
            if scope["method"] == "HEAD":
                await send_no_content(send)
            elif part is not None:
                extensions = scope.get("extensions") or ()
                await send_file(part, send, pathsend="http.response.pathsend" in extensions)
            else:
                await send_async_content(response, send)
        finally:
            body.close()
            await run_sync(response.close)

    def make_view_atomic(self, view: View) -> View:
        """Return what calls a view: where it runs, with its body, in its transactions."""
        unit = unit_in_context()
        if type(unit) is RequestUnit:
            unit.view = view  # for messages
        # Through Django's own method, as in __call__(): tools that trace requests replace it.
        # The first look is for the many: asgiref's goes through partials and marks.
        is_async = _is_written_async(view) or iscoroutinefunction(view)
        call: View = super().make_view_atomic(self._views.awaited(view) if is_async else view)
        return self._views.in_thread(call) if not is_async and runs_in_thread(view) else call

    def process_exception_by_middleware(self, exception: Exception, request: Any) -> Any:
        """Return what middleware answers to an error of the view, or of its rendering.

        :raises asyncio.CancelledError: there is no error, and nobody to answer: the client left.
        """
        body = arriving_body(request)
        if body is not None and body.disconnected and tells_of_leaving_only(exception):
            raise asyncio.CancelledError from exception
        return super().process_exception_by_middleware(exception, request)

    def _get_response(self, request: Any) -> Any:
        response = super()._get_response(request)
        if not asyncio.iscoroutine(response):
            return response
        try:  # the response's render() is async
            return await_(response)
        except Exception as error:
            handled = self.process_exception_by_middleware(error, request)
            if handled is None:
                raise
            return handled

    @asynccontextmanager
    async def _life_of_process(self) -> AsyncIterator[Mapping[str, Any] | None]:
        async with self._database.pools():
            try:
                async with self._lifespan(self) as state:
                    with set_collector(self.settings.GC_THRESHOLD):
                        yield state
            finally:
                self.threads.close()
                self.stream_threads.close()
                close_executors()  # which those have used, and which may use the pools


def _is_written_async(view: View) -> bool:
    code = getattr(view, "__code__", None)
    return code is not None and bool(code.co_flags & CO_COROUTINE)


def _streams_in_thread(request: LoomRequest) -> bool:
    """Tell where an iterator's code is to run: where its view belongs."""
    match = request.resolver_match
    return match is None or runs_in_thread(match.func)


def _release_later(body: RequestBody, held: list[Any]) -> None:
    """Release a request when nobody above here can ask for it any more.

    Not at once: what wraps the application, as tools that trace requests do, may have a weak
    reference, and look at the request when it has been served.
    """
    body.loop.call_soon(release, held)


def _prepared(request: LoomRequest, response: Any) -> tuple[Any, FilePart | None]:
    """Return the answer to send for a file, and which part of that."""
    response.block_size = FILE_BLOCK_BYTES
    try:
        return response, prepare_file(request, response)
    except FileUnreadable as error:
        answer = response_for_exception(request, error)
        answer._resource_closers += response._resource_closers
        return answer, None


def _with_exact_status(chain: View) -> View:
    """Give a refused body the status of its reason, where Django has 400 for all."""

    def respond(request: Any) -> Any:
        response = chain(request)
        body = arriving_body(request)
        if body is not None and body.fault is not None and response.status_code == 400:
            response.status_code = _STATUS_OF_FAULT[type(body.fault)]
        return response

    return respond
