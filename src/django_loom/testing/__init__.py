"""What tests of a project use. It needs Django's settings."""

from .client import AsyncClient

__all__ = ["AsyncClient"]
