"""A network between a client and a server that can stall, or break."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from tests.services import Postgres


class Link:
    """One connection through the proxy. A link made while the network stalls is stalled too."""

    def __init__(self, flows: bool) -> None:
        self.flowing = asyncio.Event()
        if flows:
            self.flowing.set()
        self.ends = asyncio.Event()  # set while the end of one side is passed on to the other
        self.ends.set()
        self.held = 0  # parts that wait to be forwarded
        self.writers: list[asyncio.StreamWriter] = []

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._until_it_flows()
                writer.write(data)
                await writer.drain()
        await self._until_it_flows()
        await self.ends.wait()
        writer.close()

    async def _until_it_flows(self) -> None:
        if self.flowing.is_set():
            return  # never counted, for other threads look at the count at any moment
        self.held += 1
        await self.flowing.wait()
        self.held -= 1


class StallingProxy:
    """Runs in a thread of its own; its methods may be called from anywhere."""

    def __init__(self, host: str, port: int) -> None:
        self._server = host, port
        self._links: list[Link] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows = True
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stalling proxy")
        self._thread.start()
        self.port: int = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def stall(self) -> None:
        """Forward nothing from now on, not even that an end has closed."""
        self._do(self._set_flow, False, self._links)

    def stall_new(self) -> None:
        """Forward nothing of the connections that are made from now on."""
        self._do(self._set_flow, False, [])

    def hold_ends(self) -> None:
        """Forward data, but not that an end has closed."""
        self._do(lambda: [link.ends.clear() for link in self._links])

    def resume(self) -> None:
        """Forward all that was held back, and go on."""
        self._do(self._set_flow, True, self._links)

    def break_all(self) -> None:
        """End every connection, to both sides, in the middle of whatever it carries."""
        self._do(self._abort)

    @property
    def held(self) -> int:
        """How many parts wait to be forwarded."""
        return sum(link.held for link in list(self._links))

    @property
    def links(self) -> int:
        """How many connections were made through the proxy so far."""
        return len(self._links)

    def close(self) -> None:
        self._do(self._abort)
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, function: Callable[..., object], *args: object) -> None:
        async def call() -> None:
            function(*args)

        asyncio.run_coroutine_threadsafe(call(), self._loop).result()

    def _set_flow(self, flows: bool, links: list[Link]) -> None:
        self._flows = flows
        for link in links:
            link.flowing.set() if flows else link.flowing.clear()
            link.ends.set()

    def _abort(self) -> None:
        for link in self._links:
            for writer in link.writers:
                writer.transport.abort()

    async def _listen(self) -> int:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return int(self._listener.sockets[0].getsockname()[1])

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(self._flows)
        self._links.append(link)
        link.writers.append(writer)  # at once, so that whatever ends the links ends this one
        self._run(self._connect(link, reader, writer))

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            upstream, to_server = await asyncio.open_connection(*self._server)
        except OSError:
            writer.close()
            return
        link.writers.append(to_server)
        self._run(link.carry(reader, to_server))
        self._run(link.carry(upstream, writer))

    async def _end(self) -> None:
        # Requests to cancel go on coming. asyncio leaves open what it has accepted when the
        # listener closes in that moment: so no more is accepted first, and then it closes.
        for listening in self._listener.sockets:
            self._loop.remove_reader(listening.fileno())
        await self._some_turns()
        self._listener.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._abort()
        await self._some_turns()  # let aborted transports close their sockets

    async def _some_turns(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


@contextmanager
def stalling_proxy(server: Postgres) -> Iterator[tuple[StallingProxy, Postgres]]:
    """The proxy, and the server's address through it."""
    proxy = StallingProxy(server.host, server.port)
    try:
        yield proxy, replace_address(server, proxy.port)
    finally:
        proxy.close()


def replace_address(server: Postgres, port: int) -> Postgres:
    plain = Postgres(server.host, server.port, server.user, server.password, server.dbname)
    return replace(plain, host="127.0.0.1", port=port)
