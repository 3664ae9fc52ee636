"""A slot that the garbage collector gives back while its pool's lock is held."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from django_loom.db import pools
from tests.db.pool_tools import PlainPool


@pytest.mark.parametrize("fit", [True, False], ids=["released", "discarded"])
def test_a_slot_that_comes_back_while_a_caller_queues_up_is_handed_to_it(
    monkeypatch: pytest.MonkeyPatch, fit: bool
) -> None:
    """As if the collector ran just when the waiter is made, in the thread that holds the lock."""
    pool = PlainPool(max_size=1)
    slot = pool.take()

    class CollectingWaiter(pools._SlotWaiter):
        def __init__(self) -> None:
            super().__init__()
            (pool.release if fit else pool.discard)(slot)

    monkeypatch.setattr(pools, "_SlotWaiter", CollectingWaiter)
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(pool.acquire()), daemon=True)
    thread.start()
    thread.join(10)
    assert len(got) == 1, "the caller waits for ever"
    assert (got[0].connection is None) is not fit
    assert pool.statistics().used == 1
    assert pool.statistics().pending_requests == 0
