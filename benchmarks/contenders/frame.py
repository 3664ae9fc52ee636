"""What contenders share: of what is measured, the gathering alone."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import cached_property
from typing import Any

from benchmarks.contenders import OPERATIONS, ten


class Frame:
    """A contender has a method for each operation; what surrounds them is nothing by default."""

    @cached_property
    def operations(self) -> Mapping[str, Any]:
        return {name: getattr(self, name) for name in OPERATIONS}

    async def close(self) -> None:
        """The process ends: there is nothing to hand over."""

    def task(self) -> AbstractAsyncContextManager[object]:
        return nullcontext()


class AsyncContender(Frame, ABC):
    """One whose operations are coroutines."""

    synchronous = False

    @abstractmethod
    async def get(self, n: int) -> int: ...

    async def gather(self, n: int) -> int:
        return sum(await asyncio.gather(*map(self.get, (key - 1 for key in ten(n)))))
