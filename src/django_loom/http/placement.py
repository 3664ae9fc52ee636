"""Where a view runs, and how it gets its body: marks that decorators put on it."""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction
from django.urls import URLResolver
from django.urls.resolvers import RegexPattern, ResolverMatch

from django_loom.conf import read

from .conf import HttpSettings
from .stand_ins import FUNCTIONS, stand_in

V = TypeVar("V")


def on_loop(view: V) -> V:
    """Run a synchronous view on the event loop, in a greenlet, whatever ``LOOM`` says.

    For views that wait only for the database and for what else takes the bridge:
    code that blocks would hold up every other request. As with Django's decorators, what is
    given stays as it is: the same view may run elsewhere in another URL pattern.

    :param view: a function, a class of views, what ``as_view()`` returns, or what
        ``include()`` and ``admin.site.urls`` are, for all the views in there.
    :return: what to use in its place; for a class that is a subclass of the same name.
    """
    marked: V = _marked(view, in_thread=False)
    return marked


def in_thread(view: V) -> V:
    """Run a synchronous view in a thread, whatever ``LOOM["SYNC_VIEWS"]`` says.

    :param view: as for ``on_loop()``.
    :return: what to use in its place.
    :raises TypeError: the view is async: those always run on the loop.
    """
    if iscoroutinefunction(view) or getattr(view, "view_is_async", False):
        raise TypeError(
            f"in_thread() was given the async view {view!r}. Async views run on the loop; "
            "use asgiref's sync_to_async() for the part of it that blocks."
        )
    marked: V = _marked(view, in_thread=True)
    return marked


def streaming_body(view: V) -> V:
    """Call an async view before the request body is there; it reads that itself.

    With ``async for chunk in request.stream()``, ``await request.aread()``, or
    ``await request.aform()`` before ``request.POST`` and ``request.FILES``.

    :param view: an async function, a class of async views, or its ``as_view()``.
    :return: what to use in its place.
    """
    result: V = stand_in(view, _loom_streams_body=True)
    return result


def runs_in_thread(view: Any) -> bool:
    """Tell if a synchronous view is to run in a thread."""
    mark = _find(view, "_loom_runs_in_thread")
    return read(HttpSettings).SYNC_VIEWS == "thread" if mark is None else mark


def streams_body(view: Any) -> bool:
    """Tell if a view reads the body itself."""
    return bool(_find(view, "_loom_streams_body"))


def _find(view: Any, name: str) -> bool | None:
    """Look at the view and at the class it was made of, as Django and DRF name it."""
    for owner in (view, getattr(view, "view_class", None), getattr(view, "cls", None)):
        if owner is not None and (mark := getattr(owner, name, None)) is not None:
            return bool(mark)
    return None


def _marked(view: Any, *, in_thread: bool) -> Any:
    if isinstance(view, tuple):  # include() gives (URLconf, app name, namespace)
        urlconf, *names = view
        return ([_PlacedResolver(urlconf, in_thread)], *names)
    if isinstance(view, (str, list, ModuleType)):
        raise TypeError(f"Write include({view!r}) where on_loop() or in_thread() gets a URLconf.")
    return stand_in(view, _loom_runs_in_thread=in_thread)


class _PlacedResolver(URLResolver):
    """Stands for an included URLconf, and marks the views that it resolves to.

    Views themselves stay as they are: another part of the URLconf may have them too.
    """

    def __init__(self, urlconf: Any, in_thread: bool) -> None:
        super().__init__(RegexPattern(r""), urlconf)
        self._in_thread = in_thread

    def resolve(self, path: str) -> ResolverMatch:
        match = super().resolve(path)
        match.func = _placed(match.func, self._in_thread)
        return match


def _placed(view: Any, in_thread: bool) -> Any:
    if iscoroutinefunction(view) or _find(view, "_loom_runs_in_thread") is not None:
        return view
    if isinstance(view, FUNCTIONS):
        return _placed_function(view, in_thread)
    return _marked(view, in_thread=in_thread)


@lru_cache(maxsize=1000)
def _placed_function(view: Any, in_thread: bool) -> Any:
    return _marked(view, in_thread=in_thread)
