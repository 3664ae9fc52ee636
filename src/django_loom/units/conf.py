"""What ``LOOM`` says of units of work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings

from django_loom.conf import require, section


@section
class UnitSettings:
    """What units keep."""

    THREAD_LOCALS: tuple[str, ...] = ()
    """Packages and modules whose ``threading.local`` stays the thread's. In others it keeps the
    values of a unit of work: a request with all it starts, or an outermost ``run_sync()``."""

    def __post_init__(self) -> None:
        """Check the value.

        :raises LoomSettingError: it names no modules.
        """
        require(
            self,
            "THREAD_LOCALS",
            _are_modules,
            "a tuple or list of the names of packages or modules",
        )


def thread_locals() -> Sequence[str]:
    """Return ``LOOM["THREAD_LOCALS"]``; nothing if the settings are wrong, or not there yet.

    Locals are made at any time: a mistake in the settings is not theirs to report.
    """
    given: Any = getattr(settings, "LOOM", None) if settings.configured else None
    names: Any = given.get("THREAD_LOCALS", ()) if isinstance(given, dict) else ()
    return names if _are_modules(names) else ()


def _are_modules(value: Any) -> bool:
    return isinstance(value, tuple | list) and all(
        isinstance(each, str) and all(part.isidentifier() for part in each.split("."))
        for each in value
    )
