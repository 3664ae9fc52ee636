"""What belongs to a unit of work where synchronous Django has a thread."""

from .locals import Local, ThreadLocal

__all__ = ["Local", "ThreadLocal"]
