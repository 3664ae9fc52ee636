"""Proxies that run beside what uses them: as a process, or in a thread.

`python -m django_loom.lab.servers.proxies HOST PORT MILLISECONDS` prints `port` and the number of
one that adds latency.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django_loom.lab.processes.child import ChildProcess
from django_loom.lab.servers.proxy import Proxy

PORT = "port"
COMMAND = (sys.executable, "-m", "django_loom.lab.servers.proxies")


@contextmanager
def delayed(host: str, port: int, milliseconds: float, core: int | None = None) -> Iterator[int]:
    """A port on 127.0.0.1 from which the address is that much further away.

    The proxy is a process, on that processor core.

    :raises ServerError: it does not start.
    """
    command = [*COMMAND, host, str(port), str(milliseconds)]
    with ChildProcess(command, "the proxy that adds latency", core=core) as process:
        yield int(process.wait_for_line(PORT))


def from_anywhere(method: Callable[[Proxy], None]) -> Callable[[ThreadedProxy], None]:
    """The method of `Proxy`, as one that other threads may call."""

    def call(proxy: ThreadedProxy) -> None:
        proxy.run(method)

    call.__doc__ = method.__doc__
    return call


class ThreadedProxy:
    """A proxy on a loop in a thread of its own; its methods may be called from anywhere.

    A context manager, that ends it.
    """

    def __init__(self, host: str, port: int, *, rate: float | None = None) -> None:
        self._proxy = Proxy(host, port, rate=rate)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._proxy.start(), self._loop).result()

    def __enter__(self) -> ThreadedProxy:
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._proxy.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._proxy.port

    @property
    def held(self) -> int:
        """In how many directions of links something waits to be forwarded."""
        return self._proxy.held

    @property
    def links(self) -> int:
        """How many connections were made through it so far."""
        return self._proxy.links

    stall = from_anywhere(Proxy.stall)
    stall_new = from_anywhere(Proxy.stall_new)
    hold_ends = from_anywhere(Proxy.hold_ends)
    resume = from_anywhere(Proxy.resume)
    break_all = from_anywhere(Proxy.break_all)

    def run(self, method: Callable[[Proxy], None]) -> None:
        """Call a method of the proxy on its loop."""

        async def call() -> None:
            method(self._proxy)

        asyncio.run_coroutine_threadsafe(call(), self._loop).result()


async def serve(host: str, port: int, milliseconds: float) -> None:
    """Forward until the process ends."""
    proxy = Proxy(host, port, delay=milliseconds / 1000)
    await proxy.start()
    print(PORT, proxy.port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
