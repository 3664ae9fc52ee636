"""What the parts of a leased connection object have of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from greenlet import greenlet

from django_loom.bridge import Unit

from .lease import Lease

if TYPE_CHECKING:
    from .wrapper import LoomDatabaseMixin as _Base
else:
    _Base = object


class LeasesBase(_Base):
    """The leases of one connection object, and what ``make_leased()`` puts on it."""

    unit: Unit | None  # None: it is a thread's, with OPTIONS["pool"]
    leases: dict[greenlet, Lease]  # by the flows that have them
    pinned: Lease | None
    snapshot: Any  # of the object as it was made, see parking
    shared: Lease | None  # what code outside any block finds: the pinned one, or its stand-in
    outliving: list[Lease]  # whose flow has ended, in the midst of a block

    if TYPE_CHECKING:

        def pin(self, lease: Lease) -> None: ...
        def unpin(self) -> Lease | None: ...
        def give_back(self, lease: Lease) -> None: ...
        def part_with(self, lease: Lease, fit: bool) -> None: ...
        def drop(self, lease: Lease) -> None: ...
        def replace_lease(self, before: Lease | None, lease: Lease) -> None: ...
        def attach(self, lease: Lease) -> None: ...
        def flow_ends(self, lease: Lease) -> None: ...
        def outlives(self, lease: Lease) -> None: ...
        def end_left_block(self, lease: Lease) -> None: ...
