"""What a body does in every short order of events, and in long ones by chance."""

from __future__ import annotations

import asyncio
import itertools
import random
from contextlib import suppress

import pytest

from django_loom.exceptions import ClientDisconnected
from django_loom.http import body as body_module
from tests.http.asgi import chunk, end
from tests.http.bodies import NEVER, Body, others_end, settle
from tests.loops import LoopRunner


@pytest.fixture(autouse=True)
def watch_never(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No watch begins by itself."""
    monkeypatch.setattr(body_module, "WATCH_AFTER_SECONDS", NEVER)
    return monkeypatch


class Walk:
    """A body in the hands of chance: what must hold whatever happens when."""

    def __init__(self) -> None:
        self.it = Body()
        self.given = b""
        self.got = b""
        self.reading: asyncio.Task[bytes] | None = None
        self.closed = self.ended = False
        self.told_at_close = 0

    def read(self) -> None:
        if self.reading is None:
            self.reading = self.it.read()

    def stop_reading(self) -> None:
        if self.reading is not None:
            self.reading.cancel()

    def give(self) -> None:
        if not self.ended:
            content = bytes([len(self.given) % 256]) * 3
            self.given += content
            self.it.connection.give(chunk(content))

    def give_end(self) -> None:
        if not self.ended:
            self.ended = True
            self.it.connection.give(end())

    def leave(self) -> None:
        self.ended = True
        self.it.connection.leave()

    def watch(self) -> None:
        if not self.closed:
            self.it.watch()

    def close(self) -> None:
        self.closed = True
        self.it.body.close()
        self.told_at_close = self.it.told

    async def step(self) -> None:
        await asyncio.sleep(0)

    async def check(self) -> None:
        if self.reading is not None and self.reading.done():
            with suppress(asyncio.CancelledError, ClientDisconnected, ValueError):
                self.got += self.reading.result()
            self.reading = None
        taken = b"".join(message.get("body", b"") for message in self.it.connection.taken)
        assert self.it.connection.overlaps == 0
        assert self.given.startswith(self.got)
        assert self.it.told <= 1
        if self.reading is None:
            assert len(taken) - len(self.got) <= 3, "more than one chunk ahead"
        if self.closed:
            assert self.it.told == self.told_at_close

    async def finish(self) -> None:
        """Whoever reads on gets the rest; nothing is left running."""
        await settle()
        await self.check()
        self.leave()
        while self.got != self.given or self.reading is not None:
            before = self.got
            self.read()
            await settle()
            await self.check()
            if self.got == before and self.reading is None:
                break
        if not self.closed:
            assert self.got == self.given
        self.close()
        await settle()
        await self.check()
        await others_end()


ACTIONS = ["read", "stop_reading", "give", "give_end", "leave", "watch", "close", "step"]


async def walk(actions: tuple[str, ...]) -> None:
    it = Walk()
    try:
        for action in actions:
            done = getattr(it, action)()
            if done is not None:
                await done
            await it.check()
        await it.finish()
    except BaseException as error:
        error.add_note(f"in {actions}")
        raise


def test_every_short_interleaving(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        for actions in itertools.product(ACTIONS, repeat=4):
            await walk(actions)

    loop_runner(main)


def test_long_interleavings_by_chance(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        chance = random.Random(20)
        weights = [5, 1, 5, 1, 0.3, 2, 0.3, 8]
        for _ in range(3000):
            await walk(tuple(chance.choices(ACTIONS, weights, k=25)))

    loop_runner(main)
