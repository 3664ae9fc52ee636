"""What belongs to a unit of work where synchronous Django has a thread."""

from .local_values import ThreadLocal
from .locals import Local

__all__ = ["Local", "ThreadLocal"]
