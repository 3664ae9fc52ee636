"""Views that take an upload, slowly, in part or not at all."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden, JsonResponse

from django_loom import await_, streaming_body

from .records import record_of

SECONDS_PER_CHUNK = 0.005


class SlowHandler(FileUploadHandler):
    """Drops what arrives, and takes its time for each chunk."""

    chunk_size = 2**19

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self.wait()
        record_of(self.request.META["QUERY_STRING"]).notes[:] = [str(start + len(raw_data))]

    def wait(self) -> None:
        time.sleep(SECONDS_PER_CHUNK)

    def file_complete(self, file_size: int) -> None:
        return None


class SlowHandlerOnLoop(SlowHandler):
    def wait(self) -> None:
        await_(asyncio.sleep(SECONDS_PER_CHUNK))


def slow_in_thread(request: HttpRequest) -> HttpResponse:
    request.upload_handlers = [SlowHandler(request)]
    return HttpResponse(request.POST["last"])


@streaming_body
async def slow_on_loop(request: Any) -> HttpResponse:
    request.upload_handlers = [SlowHandlerOnLoop(request)]
    return HttpResponse((await request.aform())["last"])


def refusing(request: HttpRequest) -> HttpResponse:
    return HttpResponseForbidden("refused")


@streaming_body
async def refusing_async(request: HttpRequest) -> HttpResponse:
    return HttpResponseForbidden("refused")


def parts(request: HttpRequest) -> JsonResponse:
    """The fields of a form, and the sizes of its files."""
    sizes = {name: file.size for name, file in request.FILES.items()}
    return JsonResponse({**request.POST.dict(), **sizes})


async def async_parts(request: HttpRequest) -> JsonResponse:
    return parts(request)


def whole(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(len(request.body)))


async def async_whole(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(len(request.body)))


@streaming_body
async def streamed(request: Any) -> HttpResponse:
    return HttpResponse(str(sum([len(chunk) async for chunk in request.stream()])))
