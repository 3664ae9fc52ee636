"""Every exception that django-loom raises of its own."""

from __future__ import annotations

from django.core.exceptions import (
    BadRequest,
    ImproperlyConfigured,
    RequestDataTooBig,
    SynchronousOnlyOperation,
)
from django.db.transaction import TransactionManagementError
from django.db.utils import OperationalError


class LoomError(Exception):
    """Base class of django-loom's own exceptions."""


class BridgeError(LoomError, RuntimeError):
    """The greenlet bridge was used where it cannot work."""


class UnsupportedVersion(LoomError, ImproperlyConfigured):
    """Python or Django is of a version that django-loom does not support."""


class PoolOptionError(LoomError, ImproperlyConfigured):
    """A key or a value in ``OPTIONS["pool"]`` is not valid."""


class PoolTimeout(LoomError, OperationalError):
    """No connection became free within the pool's ``timeout``."""


class PoolFull(LoomError, OperationalError):
    """``max_waiting`` callers were waiting for a connection already."""


class PoolClosed(LoomError, OperationalError):
    """The pool was closed while a caller was waiting for a connection."""


class TransactionBusy(LoomError, OperationalError):
    """Another task kept the shared connection of a transaction for too long."""


class AutocommitLeftOff(LoomError, TransactionManagementError):
    """A unit of work ended with autocommit off: what it had not committed is rolled back."""


class EngineNotSupported(LoomError, ImproperlyConfigured):
    """A database ENGINE would block the event loop, or has no pool."""


class AppNotInstalled(LoomError, ImproperlyConfigured):
    """A part of django-loom is used without its app, which puts Django on the loop."""


class LoomSettingError(LoomError, ImproperlyConfigured):
    """A key or a value of the ``LOOM`` setting is not valid."""


class BodyTooLarge(LoomError, RequestDataTooBig):
    """A request body has more bytes than ``LOOM["MAX_BODY"]``; answered 413."""


class BodyTimeout(LoomError, BadRequest):
    """A request body came more slowly than ``LOOM`` allows; answered 408."""


class BodyNotRead(LoomError, SynchronousOnlyOperation):
    """A streaming async view used the body before it has awaited it."""


class BodyInUse(LoomError, RuntimeError):
    """Two tasks read one request body at the same time."""


class ClientDisconnected(LoomError, OSError):
    """The client left while its request body was being read."""


class ThreadsBusy(LoomError):
    """All threads for views are in use, and their queue is full; answered 503."""


class UnsupportedProtocol(LoomError, ValueError):
    """A server offered a connection of a type that the application does not speak."""


class FileUnreadable(LoomError, RuntimeError):
    """The file of a FileResponse is closed, or failed to be read.

    Not an ``OSError``: that, in sending a response, means that the client has left.
    """


class FileTruncated(FileUnreadable):
    """A file became shorter while it was being sent; the connection has to be aborted."""
