"""The ASGI handler: one greenlet for each request, through Django's synchronous chain."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
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
from django_loom.conf import read
from django_loom.exceptions import (
    BodyTimeout,
    BodyTooLarge,
    FileUnreadable,
    UnsupportedProtocol,
)
from django_loom.offload import Executor, executors

from .arriving import arriving_body, close_uploads
from .body import Receive, RequestBody
from .conf import HttpSettings
from .deliveries import Answer, Delivery, Scope, pick_delivery
from .disconnects import is_disconnect_only
from .files import FilePart, prepare_file
from .hooks import DatabaseHooks
from .lifespan import Lifespan, in_order, serve_lifespan
from .placement import runs_in_thread
from .release import release
from .request_unit import RequestUnit
from .requests import LoomRequest
from .responses import Send, send_response, until_client_leaves
from .streams import SyncStreams
from .view_calls import View, ViewCalls
from .view_threads import ThreadUse, ViewThreads

FILE_BLOCK_BYTES = 2**18
_STATUS_OF_FAULT: dict[type, int] = {BodyTooLarge: 413, BodyTimeout: 408}


class LoomHandler(ASGIHandler):
    """Serves HTTP and lifespan.

    Middleware runs synchronously, in one greenlet for each request; what is async
    is awaited from there. No thread is used but for synchronous views, where
    ``LOOM["SYNC_VIEWS"]`` or their own mark says so.
    """

    request_class = LoomRequest
    request_unit = RequestUnit  # or a subclass: see there
    _middleware_chain: Any

    def __init__(self, database: DatabaseHooks, lifespans: Sequence[Lifespan] = ()) -> None:
        """Make the application.

        :param database: what it asks of the database.
        :param lifespans: what begins with the server, in this order, and ends with it.
        """
        self.settings = read(HttpSettings)
        self._database = database
        self._lifespans = lifespans
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
            await serve_lifespan(in_order(self._lifespans, self), scope, receive, send)
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
            if not is_disconnect_only(error):
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
        with self.request_unit(scope):
            held = await run_sync(self._respond, scope, body, send)
            if held is not None:
                request, delivery = held
                await delivery.send(send)
                if body.lasted:
                    _release_later(body, [request])

    def _respond(
        self, scope: Scope, body: RequestBody, send: Send
    ) -> tuple[LoomRequest, Delivery] | None:
        """Serve a request in its greenlet, but for an answer that is still to be made.

        :return: the request, and how its answer goes out.
        """
        request, response, part = self.answer(scope, body)
        if response.streaming and request is not None:
            return request, pick_delivery(request, response, part, scope, body.close, self._streams)
        try:
            # In this greenlet, as another one for close() costs more than the two waits.
            await_(send_response(response, send, with_content=scope["method"] != "HEAD"))
        finally:
            body.close()
            response.close()
        if body.lasted and request is not None:
            _release_later(body, [request])
        return None

    def answer(self, scope: Scope, body: RequestBody) -> Answer:
        """Take a request through middleware and view."""
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

    def make_view_atomic(self, view: View) -> View:
        """Return what calls a view: where it runs, with its body, in its transactions."""
        unit = unit_in_context()
        if isinstance(unit, RequestUnit):
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
        if body is not None and body.disconnected and is_disconnect_only(exception):
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


def _is_written_async(view: View) -> bool:
    code = getattr(view, "__code__", None)
    return code is not None and bool(code.co_flags & CO_COROUTINE)


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
