"""The blocks that functions in threads have begun in, which may be rolled back under them.

The client leaves, and its view's block is rolled back → the function that the view runs in a
thread can't be stopped, and its next statement would be committed, without what it has written
in the block → it gets an error there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from threading import get_ident

from django.db.transaction import TransactionManagementError
from greenlet import getcurrent

from django_loom.bridge import SyncCall, context_variable

from . import flows
from .scopes import Kind, Scope, find, first_active, scopes_in_context


class Beginning:
    """The blocks that were around a function when it began in its thread, by alias.

    A thread's function has a context of its own. Whatever begins in it, such as a task, has a
    copy → there the variable has this as well, but its token is of the function's.
    """

    __slots__ = ("_token", "blocks")

    def __init__(self, blocks: Mapping[str, Scope]) -> None:
        self.blocks = blocks
        self._token: Token[Beginning | None] = _variable.set(self)

    def is_callers(self) -> bool:
        """Tell if the calling code is the function."""
        try:
            _variable.reset(self._token)
        except (ValueError, RuntimeError):
            return False
        self._token = _variable.set(self)
        return True


_variable: ContextVar[Beginning | None] = context_variable("loom_function_blocks", None)
beginning_in_context = _variable.get


@contextmanager
def noting_blocks() -> Iterator[None]:
    """Note the blocks that a function begins in; it ends with the ``with`` block."""
    known = scopes_in_context() or {}
    blocks = {alias: block for alias, scope in known.items() if (block := _block(scope))}
    token = _variable.set(None)
    if blocks:
        Beginning(blocks)
    try:
        yield
    finally:
        _variable.reset(token)


def note_statement(alias: str) -> None:
    """Note that a thread of which nobody tells the end has used a block that it hasn't opened.

    Its context may have been copied long ago, and what it runs may begin after the block: only
    what has used the block is known to have begun in it.
    """
    if type(getcurrent()) is SyncCall or not flows.ends_at_once():
        return
    this_thread = get_ident()
    block = _block(find(alias))
    while block is not None and block.thread == this_thread:
        block = _block(block.parent)
    if block is None:
        return
    beginning = _variable.get()
    if beginning is None or not beginning.is_callers():
        Beginning({alias: block})
    else:
        beginning.blocks = {**beginning.blocks, alias: block}


def require_blocks(alias: str) -> None:
    """Refuse a statement of a function in a thread whose block was rolled back under it.

    Not if the function has left the block itself. After a commit nothing of what it has written
    is lost: it goes on outside, as a task does.

    :raises TransactionManagementError: saying what to write.
    """
    beginning = _variable.get()
    scope = None if beginning is None else beginning.blocks.get(alias)
    while scope is not None and scope.rolled_back_in in (None, get_ident()):
        scope = scope.parent
    if scope is not None and beginning is not None and beginning.is_callers():
        raise TransactionManagementError(
            f"The atomic block on database {alias!r} in which this function began was rolled back "
            "while the function went on in its thread: the code that waited for it has failed, or "
            "was cancelled. What it writes now would be committed without what it wrote in the "
            "block. Run what is to go on by itself outside the block, with `with "
            "transaction.atomic():` in the function."
        )


def _block(scope: Scope | None) -> Scope | None:
    """Return the innermost open block of a scope and those around it."""
    scope = first_active(scope)
    while scope is not None and scope.kind is not Kind.BLOCK:
        scope = first_active(scope.parent)
    return scope
