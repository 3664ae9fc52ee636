"""What tests of a project use. It needs Django's settings."""

from .client import AsyncClient
from .stepping import cancel_before, cancel_with_result, cancelled_at

__all__ = ["AsyncClient", "cancel_before", "cancel_with_result", "cancelled_at"]
