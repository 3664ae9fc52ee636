"""How the leases of a unit end with it, and what its code has left open on them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from django_loom.bridge import finish_all

from . import blocks, flows, scopes
from .holders import describe
from .lease import Lease
from .leases_base import LeasesBase

logger = logging.getLogger("django_loom")

_OFF = (
    "Autocommit was off on database {!r} at the end of a unit of work, and what was not "
    "committed is rolled back. The connection was held by {}. Write `with "
    "transaction.atomic():`, or call transaction.commit() and "
    "transaction.set_autocommit(True) in the same request or run_sync() call."
)
_OPEN = (
    "A transaction on database {!r} was open at the end of a unit of work, and is rolled back. "
    "The connection was held by {}. "
)
_BEGUN = _OPEN + "Write `with transaction.atomic():` around the code, in place of BEGIN."
_ENTERED = _OPEN + (
    "A block of transaction.atomic() was entered and never left: write `with "
    "transaction.atomic():` in place of __enter__(), and close a generator that has one."
)


@contextmanager
def _logged_on_error(lost: list[str]) -> Iterator[None]:
    """Log what would have been an error of its own, where the block raises another one."""
    try:
        yield
    except BaseException:
        for message in lost:
            logger.warning(message)
        raise


class UnitLeases(LeasesBase):
    """Ends what outlives the code of a unit."""

    def unit_ends(self, *, keep_session: bool = False) -> list[str]:
        """Undo what the unit has left; return what costs data without a word.

        Blocks of async code may outlive the unit, in tasks that it has started.

        :param keep_session: leave the pinned connection to ``session_ends()``.
        """
        lost: list[str] = []
        with _logged_on_error(lost):
            finish_all(self._ends_of_unit(keep_session, lost))
        return lost

    def _ends_of_unit(self, keep_session: bool, lost: list[str]) -> Iterator[Callable[[], None]]:
        if self.leases:
            yield from self._ends_of_flows()
        if self.pinned is None and not self.outliving:
            return
        # Whoever ends the unit has left what he has opened in it.
        own = None if flows.current_flow() is None else flows.flow_end()
        for lease in [*self.outliving, *([] if self.pinned is None else [self.pinned])]:
            yield partial(self.end_left_block, lease, own)
        if keep_session and self.pinned is not None:
            others = set(self.outliving) - {self.pinned}
            yield lambda: lost.extend(self._end_leases(others))
        else:
            yield lambda: lost.extend(self.session_ends())

    def session_ends(self) -> list[str]:
        """Give the pinned connection back; return what costs data without a word."""
        # A thread of the unit is in a statement on the pinned connection, or about to begin
        # one → it would go on beside the reset, and beside whoever gets the connection next →
        # we take the turn first, and where somebody has it, he gives the connection back.
        ending = self.pinned
        is_ours = ending is not None and ending.turn.acquire_nowait()
        pinned = self.unpin()
        if pinned is not None and not is_ours and pinned.flow is None:
            self.outlives(pinned)
        try:
            ended = set(self.outliving) - {pinned}
            if is_ours and pinned is not None:
                ended.add(pinned)
            return self._end_leases(ended)
        finally:
            self.outliving[:] = [lease for lease in self.outliving if lease.slot is not None]
            if is_ours and ending is not None:
                ending.turn.release()

    def _ends_of_flows(self) -> Iterator[Callable[[], None]]:
        """Return what lets go of what flows have left that nobody ends.

        A plain thread opens a connection and runs no statement → nobody comes by there
        any more, and the unit would keep it → its end is that of the lease. So it is for the
        code that ends the unit, and leaves its flow in that.
        """
        for spare in list(self.leases.values()):
            yield partial(self.end_spare, spare)
        flow = flows.current_flow()
        lease = None if flow is None else self.leases.get(flow)
        if lease is not None:
            flows.forget(lease, self)
            yield partial(self.flow_ends, lease)

    def _end_leases(self, leases: set[Lease]) -> list[str]:
        lost: list[str] = []
        with _logged_on_error(lost):
            finish_all(partial(self._end_lease, lease, lost) for lease in leases)
        return lost

    def _end_lease(self, lease: Lease, lost: list[str]) -> None:
        if lease.flow is not None or lease.slot is None or lease.open_cursors or lease.scopes:
            return
        try:
            if lease.autocommit != self.settings_dict["AUTOCOMMIT"]:
                lost.append(self._tell_of(lease, _OFF))
            elif self._has_work(lease):
                logger.warning(self._tell_of(lease, _BEGUN))
        except BaseException:
            self.drop(lease)
            raise
        self.give_back(lease)

    def _has_work(self, lease: Lease) -> bool:
        """Tell if closing the connection loses something: it was not lost before."""
        engine, connection = self.engine, lease.connection
        return not engine.is_idle(connection, lease.autocommit) and engine.is_open(connection)

    def loss_at_close(self, lease: Lease) -> str | None:
        """Return what to log where Django closes the connection at a request's end.

        That of a project without autocommit has a transaction open after each query.
        """
        if self.unit is None or lease.slot is None or lease.scopes or lease.in_atomic_block:
            return None
        if not self.settings_dict["AUTOCOMMIT"] or not self._has_work(lease):
            return None
        return self._tell_of(lease, _BEGUN if lease.autocommit else _OFF)

    def outlives(self, lease: Lease) -> None:
        """Keep a lease that something needs beyond its flow or its pin."""
        if lease not in self.outliving:
            self.outliving.append(lease)
        if self.unit is not None and self.unit.ended:
            self.end_left_block(lease)

    def thread_ends(self, lease: Lease) -> None:
        """Let go of the lease of a thread that has ended.

        A plain thread ends in the midst of a block → no unit ever ends it, and the place in
        the pool would be lost → it is rolled back now, as in Django. But others may go on
        with a connection that was lent to them, as that of a test to its server.
        """
        if lease.scopes and self.unit is None:
            if self.allow_thread_sharing:
                return
            lease.is_left = True
        self.flow_ends(lease)
        if lease.is_left:
            self.end_left_block(lease)

    def thread_has_ended(self) -> None:
        """Roll back the blocks that functions of async code have left open in the thread."""
        for lease in list(self.outliving):
            if lease.scopes:
                self.thread_ends(lease)

    def block_was_left(self, lease: Lease) -> None:
        """Note that the flow which has opened a block has ended in its midst."""
        if self.unit is not None and self.unit.ended:
            self.end_left_block(lease)

    def end_left_block(self, lease: Lease, ending: flows.FlowEnd | None = None) -> None:
        """Roll back a transaction whose block nobody will leave, as its flow has ended.

        :param ending: of a flow that ends the unit.
        """
        if not lease.scopes or lease.slot is None:
            return
        if not (lease.is_left or self._is_left(lease, ending)):
            return
        turn = lease.scopes[-1].mutex
        # Somebody is in a statement, or about to end the block, and comes by here after that.
        if lease.scopes[-1].kind is scopes.Kind.CLOSING or not turn.acquire_nowait():
            return
        # A thread's end comes by here when threading has forgotten the thread → a record of the
        # log would make up another one, which stays for ever → nothing is said.
        try:
            known = (thread.ident for thread in threading.enumerate())
            if threading.get_ident() in known and not lease.is_left:
                logger.warning(self._tell_of(lease, _ENTERED))
        finally:
            blocks.abandon(lease)
            try:
                self.drop(lease)
            finally:
                turn.release()

    def _is_left(self, lease: Lease, ending: flows.FlowEnd | None) -> bool:
        block = lease.scopes[0]
        if block.opener is not None:
            return False
        end = block.flow_end
        return lease.flow is None if end is None else end.ended or end is ending

    def _tell_of(self, lease: Lease, message: str) -> str:
        slot = lease.slot
        holder = "nobody known"
        if slot is not None and slot.holder is not None:
            holder = slot.holder.describe()
        if lease.scopes and lease.scopes[0].site is not None:
            holder += f"; the block was entered at {describe(lease.scopes[0].site)}"
        return message.format(self.alias, holder)
