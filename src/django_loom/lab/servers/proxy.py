"""A network between clients and a server that is worse: late, slow, stalled or broken."""

from __future__ import annotations

import asyncio

from django_loom.lab.servers.flow import Link

BACKLOG = 256


class Proxy:
    """Listens on a port of 127.0.0.1; to be used on the loop that it was started on.

    :param host: the server's; a path is the directory of a Unix socket, as libpq has it.
    :param delay: seconds that what clients send is late; what the server answers is not.
    :param rate: bytes per second of each link in each direction at most; None for no limit.
    """

    def __init__(
        self, host: str, port: int, *, delay: float = 0.0, rate: float | None = None
    ) -> None:
        self.port = 0
        self.links = 0  # that were made so far
        self._server = host, port
        self._delay = delay
        self._rate = rate
        self._flows = True
        self._open: set[Link] = set()
        self._connecting: set[asyncio.Task[None]] = set()

    @property
    def held(self) -> int:
        """In how many directions of links something waits to be forwarded."""
        return sum(flow.holds_something for link in list(self._open) for flow in link.sides)

    async def start(self) -> None:
        """Listen on a free port, which `port` says then."""
        self._listener = await asyncio.get_running_loop().create_server(
            lambda: self._link().from_client, "127.0.0.1", 0, backlog=BACKLOG
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    def stall(self) -> None:
        """Forward nothing from now on, not even that a side has closed."""
        self._set_flow(False)

    def stall_new(self) -> None:
        """Forward nothing of the connections that are made from now on."""
        self._flows = False

    def hold_ends(self) -> None:
        """Forward data, but not that a side has closed."""
        for link in self._open:
            link.passes_ends = False

    def resume(self) -> None:
        """Forward all that was held back, and go on."""
        self._set_flow(True)

    def break_all(self) -> None:
        """End every connection, to both sides, in the midst of whatever it carries."""
        for link in list(self._open):
            link.abort()

    async def close(self) -> None:
        """End every connection, and listen no more."""
        self.break_all()
        # Requests to cancel go on coming. asyncio leaves open what it has accepted when the
        # listener closes in that moment: so no more is accepted first, and then it closes.
        for listening in self._listener.sockets:
            asyncio.get_running_loop().remove_reader(listening.fileno())
        await some_turns()
        self._listener.close()
        for task in (tasks := list(self._connecting)):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.break_all()
        await some_turns()  # let aborted transports close their sockets

    def _link(self) -> Link:
        return Link(self._delay, self._rate, self._made, self._open.discard)

    def _made(self, link: Link) -> None:
        # Not when it was created, between which and now the network may have gone on.
        link.flows = self._flows
        self.links += 1
        self._open.add(link)
        task = asyncio.get_running_loop().create_task(self._connect(link))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, link: Link) -> None:
        loop, (host, port) = asyncio.get_running_loop(), self._server
        try:
            if host.startswith("/"):
                path = f"{host}/.s.PGSQL.{port}"
                await loop.create_unix_connection(lambda: link.from_server, path)
            else:
                await loop.create_connection(lambda: link.from_server, host, port)
        except OSError:
            link.abort()

    def _set_flow(self, flows: bool) -> None:
        self._flows = flows
        for link in list(self._open):
            link.flows = flows
            link.passes_ends = True
            for flow in link.sides:
                flow.go_on()


async def some_turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)
