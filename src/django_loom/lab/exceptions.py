"""Every exception that the lab raises of its own."""

from __future__ import annotations

from typing import Self


class LabError(Exception):
    """Base class of the lab's exceptions; its text is one line for the user."""


class PlanError(LabError, ValueError):
    """A load cannot be made as it was asked for."""


class ResponseError(LabError):
    """What a server sent is not an HTTP/1.1 response."""


class GeneratorError(LabError, RuntimeError):
    """A process of the load generator ended without a result."""


class MissingPackage(LabError, ModuleNotFoundError):
    """A package of an extra is not installed."""

    @classmethod
    def of_extra(cls, who: str, package: str, extra: str = "lab") -> Self:
        """Say who needs the package, and how to install it."""
        message = f"{who} needs the package {package}; install it with:"
        return cls(f"{message} pip install 'django-loom[{extra}]'", name=package)


class ServerError(LabError, RuntimeError):
    """A server did not come up, or does not answer as it should."""


class UsageError(LabError, ValueError):
    """An experiment cannot be run as it was asked for."""
