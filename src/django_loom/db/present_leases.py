"""Which lease of a connection object the calling code has."""

from __future__ import annotations

from typing import Any

from greenlet import getcurrent

from django_loom.bridge import SyncCall

from . import flows, scopes
from .lease import DEFAULTS, Lease
from .leases_base import LeasesBase
from .scopes import scopes_in_context


def lease_attribute(name: str) -> property:
    """Return an attribute of Django's connection object that the present lease has."""

    # A property's function is called without the detour by C that other descriptors take.
    def value(wrapper: Any) -> Any:
        # What present_lease() does first, without the call: each query reads some eight.
        known = scopes_in_context()
        if known is None:
            current = getcurrent()
            if type(current) is SyncCall and wrapper.unit is not None:
                lease = wrapper.shared or wrapper.leases.get(current)
            else:
                lease = wrapper.present_lease()
        elif (block := known.get(wrapper.alias)) is not None and block.open_on is wrapper:
            lease = block.lease
        else:
            lease = wrapper.present_lease()
        if lease is not None:
            return getattr(lease, name)
        # Most code that asks before it has a connection only asks: no lease is made for it.
        return DEFAULTS[name] if name in DEFAULTS else getattr(wrapper.lease_here(), name)

    def assign(wrapper: Any, value: Any) -> None:
        vars(wrapper.lease_here())[name] = value

    return property(value, assign)


class PresentLeases(LeasesBase):
    """Finds a lease: that of a transaction, the pinned one, or that of the calling flow."""

    def lease_here(self) -> Lease:
        """Return the lease of the calling code; an empty one if it has none."""
        lease = self.present_lease()
        if lease is not None and lease.claim is not None and not self.claims(lease):
            lease = self.present_lease()
        return self._empty_lease() if lease is None else lease

    def present_lease(self) -> Lease | None:
        """Return the lease of the calling code, or None."""
        current = getcurrent()
        known = scopes_in_context()
        if known is None:
            if type(current) is SyncCall and self.unit is not None:  # as it mostly is
                return self.shared or self.leases.get(current)
        elif (block := known.get(self.alias)) is not None and block.open_on is self:
            return block.lease
        scope = scopes.find(self.alias, self if self.unit is None else None)
        if scope is not None and scope.wrapper is self:
            if scope.kind is scopes.Kind.CURSOR:
                lease = self.leases.get(current) or scope.lease
                return lease if self.shared is None or lease is not self.pinned else self.shared
            if scope.kind is not scopes.Kind.PIN:
                return scope.lease
        if self.shared is not None:
            return self.shared
        lease = self.leases.get(current)
        if lease is not None:
            return lease
        flow = flows.current_flow()
        return self.leases.get(flow) if flow is not None else None

    @property
    def scopes(self) -> list[scopes.Scope]:
        """The blocks that are open on the calling code's connection, or the thread's."""
        if self.unit is None:
            if not self.leases and not self.outliving:
                return []
            leases = {*self.leases.values(), *self.outliving}
            return [scope for lease in leases for scope in lease.scopes]
        lease = self.present_lease()
        return [] if lease is None else lease.scopes

    def _empty_lease(self) -> Lease:
        """Return a lease without a connection, for what the code sets on it."""
        flow = flows.current_flow()
        lease = Lease(self.engine, flow)
        # A thread that outlives the unit would keep it, and the object with it.
        if flow is not None and (self.unit is None or not flows.ends_at_once()):
            self.leases[flow] = lease
            flows.note(lease, self)
        return lease
