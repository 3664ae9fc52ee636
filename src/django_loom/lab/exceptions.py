"""Every exception that the lab raises of its own."""

from __future__ import annotations


class LabError(Exception):
    """Base class of the lab's exceptions; its text is one line for the user."""


class PlanError(LabError, ValueError):
    """A load cannot be made as it was asked for."""


class ResponseError(LabError):
    """What a server sent is not an HTTP/1.1 response."""


class GeneratorError(LabError, RuntimeError):
    """A process of the load generator ended without a result."""


class MissingPackage(LabError, ModuleNotFoundError):
    """A package of the extra ``lab`` is not installed."""


class ServerError(LabError, RuntimeError):
    """A server did not come up, or does not answer as it should."""


class UsageError(LabError, ValueError):
    """An experiment cannot be run as it was asked for."""
