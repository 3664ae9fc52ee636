"""Sending responses whose content is a synchronous iterator."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from django.http import HttpRequest, StreamingHttpResponse

from django_loom.bridge import run_sync
from django_loom.exceptions import ThreadsBusy

from .disconnects import is_disconnect_only
from .hooks import DatabaseHooks
from .responses import Send, busy_response, send_head, send_no_content, send_response
from .stream_flow import FlowPlace, StreamFlow
from .view_threads import ViewThreads

ON_LOOP = FlowPlace(False, run_sync, run_sync)

logger = logging.getLogger("django_loom")


class SyncStreams:
    """Sends what synchronous iterators make, each in a flow of its own.

    On the loop that is a greenlet. Else it is a thread of ``threads``, kept until the end:
    these are not the ones of views, which else would wait for the clients of streams.
    """

    def __init__(
        self, database: DatabaseHooks, threads: ViewThreads, view_threads: ViewThreads
    ) -> None:
        self._before_wait = database.before_wait
        self._in_thread = FlowPlace(
            True,
            threads.run,
            # Short, as a view is, and it must not be given up: no thread is refused to it.
            partial(view_threads.run, refusable=False),
        )

    async def send(
        self,
        request: HttpRequest,
        response: StreamingHttpResponse,
        send: Send,
        *,
        in_thread: bool,
        at_the_end: Callable[[], object],
    ) -> None:
        """Send a response, and close it in the flow of its iterator, however the sending ends.

        :param at_the_end: called when all is sent, or no more will be.
        """
        flow = StreamFlow(response, self._in_thread if in_thread else ON_LOOP, self._before_wait)
        try:
            try:
                if request.method == "HEAD":
                    await send_head(response, send)
                    await send_no_content(send)
                elif not in_thread or await _begins(flow, request, send):
                    await _send_parts(response, flow, send)
            except BaseException:
                flow.leave()
                raise
            finally:
                at_the_end()
        except GeneratorExit:
            raise  # nothing can be awaited any more: the flow ends alone
        except BaseException:
            await _until_ended(flow)
            raise
        await flow.ended()


async def _begins(flow: StreamFlow, request: HttpRequest, send: Send) -> bool:
    """Tell if a flow has got its thread; if there is none, that is answered."""
    flow.start()
    try:
        await flow.begun()
    except ThreadsBusy as refusal:
        await send_response(busy_response(request, refusal), send, with_content=True)
        return False
    return True


async def _send_parts(response: StreamingHttpResponse, flow: StreamFlow, send: Send) -> None:
    await send_head(response, send)
    if not flow.is_started:
        flow.start()
    while (part := await flow.channel.take()) is not None:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    if not flow.failed:
        await send({"type": "http.response.body"})


async def _until_ended(flow: StreamFlow) -> None:
    """Wait for the end of a flow whose sending has failed: that is the error to raise."""
    try:
        await flow.ended()
    except Exception as error:
        if not is_disconnect_only(error):
            logger.warning("A stream failed when its sending had ended", exc_info=True)
