"""aiohttp on an open socket: `waiting_aiohttp.py FD`.

`/async/MILLISECONDS/` awaits, `/sync/MILLISECONDS/` blocks the loop, `/failing/MILLISECONDS/`
awaits and answers 503.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time

from aiohttp import web


async def wait(request: web.Request) -> web.Response:
    await asyncio.sleep(int(request.match_info["milliseconds"]) / 1000)
    return web.Response(text="ok")


async def block(request: web.Request) -> web.Response:
    time.sleep(int(request.match_info["milliseconds"]) / 1000)  # noqa: ASYNC251 - what it shows
    return web.Response(text="ok")


async def fail(request: web.Request) -> web.Response:
    await wait(request)
    return web.Response(status=503)


async def application() -> web.Application:
    app = web.Application()
    app.router.add_get(r"/async/{milliseconds:\d+}/", wait)
    app.router.add_get(r"/sync/{milliseconds:\d+}/", block)
    app.router.add_get(r"/failing/{milliseconds:\d+}/", fail)
    return app


def new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


if __name__ == "__main__":
    listener = socket.socket(fileno=int(sys.argv[1]))
    web.run_app(application(), sock=listener, access_log=None, print=None, loop=new_loop())
