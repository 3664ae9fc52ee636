"""Real ASGI servers, each with the same small Django site: what they get and what clients get."""
