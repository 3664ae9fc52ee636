"""Every exception that django-loom raises of its own."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured
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


class EngineNotSupported(LoomError, ImproperlyConfigured):
    """A database ENGINE would block the event loop, or has no pool."""
