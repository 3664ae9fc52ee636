"""The event loop of mode (c). It counts its turns: the proof that the tests did wait on it."""

import asyncio
import selectors


class CountingSelector(selectors.DefaultSelector):
    """A loop calls ``select`` once a turn."""

    turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.turns += 1
        return super().select(timeout)


class CountingLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop with a selector that counts."""

    def __init__(self) -> None:
        self._counter = CountingSelector()
        super().__init__(self._counter)

    @property
    def turns(self) -> int:
        return self._counter.turns
