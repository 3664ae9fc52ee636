"""What stands for a view and says more of itself than the view does, which stays as it is."""

from __future__ import annotations

from functools import partial, update_wrapper, wraps
from types import FunctionType, MethodType, new_class
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

FUNCTIONS = (FunctionType, MethodType, partial)


def stand_in(view: Any, **marks: bool) -> Any:
    """Return what calls a view, has all its attributes, and the marks besides.

    For a class of views that is a subclass, since its ``as_view()`` looks at the class.
    """
    if isinstance(view, type):
        return _subclass(view, marks)
    made = _function(view) if isinstance(view, FUNCTIONS) else _Instance(view)
    made.__dict__.update(marks)
    return made


def _subclass(view: Any, marks: dict[str, bool]) -> Any:
    names = {
        name: getattr(view, name)
        for name in ("__module__", "__qualname__", "__doc__")
        if hasattr(view, name)
    }
    return new_class(view.__name__, (view,), {}, lambda body: body.update({**names, **marks}))


def _function(view: Any) -> Any:
    @wraps(view)
    def call(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return markcoroutinefunction(call) if iscoroutinefunction(view) else call


class _Instance:
    """For an object, whose class may have attributes for middleware, such as ``csrf_exempt``."""

    def __init__(self, view: Any) -> None:
        update_wrapper(self, view)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped__(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)
