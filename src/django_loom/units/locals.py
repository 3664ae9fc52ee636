"""``threading.local`` for units of work: below one its values, outside the thread's."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from .local_base import LocalBase, common_base, make_local
from .local_values import ThreadLocal, get_of_thread
from .policy import belongs_to_threads
from .values import Values


@common_base
class Local(LocalBase):
    """What ``threading.local`` is, once the app is loaded."""

    __slots__ = ("_loom_table",)

    def __new__(cls, /, *args: Any, **kwargs: Any) -> Any:
        """Make a local; a real one for a module whose locals are the thread's."""
        kind = _class_for(sys._getframe(1)) if cls is Local else cls
        if kind is RealLocal:
            return ThreadLocal.__new__(kind, *args, **kwargs)
        return make_local(kind, args, kwargs)


@common_base
class RealLocal(Local):
    """The real one, which is an instance of ``threading.local`` as well."""

    __slots__ = ()
    __getattribute__ = ThreadLocal.__getattribute__
    __setattr__ = ThreadLocal.__setattr__  # type: ignore[assignment]
    __delattr__ = ThreadLocal.__delattr__


class ThreadCriticalStorage(Local):
    """What an ``asgiref.local.Local(thread_critical=True)`` of a project has its values in.

    For code on a loop asgiref keeps a context variable in it, one for each thread. That
    stays so: the context names the unit already, and may have begun before that.
    """

    __slots__ = ()

    @property
    def cvar(self) -> Any:
        """The context variable of code on this thread's loop."""
        try:
            return get_of_thread(self, "__dict__")["cvar"]
        except KeyError:
            raise AttributeError("cvar") from None

    @cvar.setter
    def cvar(self, value: Any) -> None:
        get_of_thread(self, "__dict__")["cvar"] = value


def _class_for(maker: FrameType) -> type[Local]:
    """Return the class of a local that the code of a frame makes."""
    if maker.f_globals.get("__name__") != "asgiref.local":
        return RealLocal if _belongs_to_threads(maker) else Local
    # One that is thread-critical: for its own module, or for somebody else's.
    around = maker.f_back
    is_threads = around is None or _belongs_to_threads(around)
    return RealLocal if is_threads else ThreadCriticalStorage


def _belongs_to_threads(frame: FrameType) -> bool:
    return belongs_to_threads(frame.f_globals.get("__name__"))


def local_with(values: Values, cls: type[Local] = Local) -> Local:
    """Return a local that has these values in this thread."""
    made: Local = make_local(cls, (), {})
    get_of_thread(made, "__dict__").update(values)
    return made
