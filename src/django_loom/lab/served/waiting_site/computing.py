"""Views that compute for some milliseconds of processor time: in place, or in a pool."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache

from django.http import HttpRequest, HttpResponse


def compute(milliseconds: int) -> None:
    """Take that much time of the processor, whatever else it does meanwhile."""
    end = time.thread_time() + milliseconds / 1000
    while time.thread_time() < end:
        pass


@cache
def pool() -> ProcessPoolExecutor:
    processes = int(os.environ["LAB_PROCESSES"])
    # A fork would have the loop and the sockets of this process.
    executor = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"))
    for _ in range(processes):  # starts them all now, not when the first load comes
        executor.submit(compute, 0)
    return executor


def in_process(request: HttpRequest, milliseconds: int) -> HttpResponse:
    compute(milliseconds)
    return HttpResponse("ok")


async def on_loop(request: HttpRequest, milliseconds: int) -> HttpResponse:
    compute(milliseconds)
    return HttpResponse("ok")


async def in_pool(request: HttpRequest, milliseconds: int) -> HttpResponse:
    await asyncio.get_running_loop().run_in_executor(pool(), compute, milliseconds)
    return HttpResponse("ok")
