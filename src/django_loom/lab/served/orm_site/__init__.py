"""A Django site whose pages make a few small queries."""
