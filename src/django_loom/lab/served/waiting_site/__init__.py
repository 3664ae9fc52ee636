"""A Django site whose views do nothing but wait."""
