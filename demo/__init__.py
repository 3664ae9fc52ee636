"""A short script that shows an unmodified Django model on one event loop."""
