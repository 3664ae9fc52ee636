"""Database engines whose queries wait on the event loop."""
