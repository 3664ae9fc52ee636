"""HTTP over ASGI: one greenlet for each request."""
