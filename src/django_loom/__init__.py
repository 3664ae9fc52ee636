"""An unmodified Django project on one asyncio event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .bridge import await_, run_sync

if TYPE_CHECKING:
    from .db.pinning import pin
    from .db.registry import pool
    from .db.transaction import atomic
    from .http.placement import in_thread, on_loop, streaming_body

__all__ = ["atomic", "await_", "in_thread", "on_loop", "pin", "pool", "run_sync", "streaming_body"]

# Django's database modules cannot be imported before its settings are known, and
# Django imports this module to find the app: so these come when asked for.
_LAZY = {
    "atomic": "db.transaction",
    "in_thread": "http.placement",
    "on_loop": "http.placement",
    "pin": "db.pinning",
    "pool": "db.registry",
    "streaming_body": "http.placement",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
