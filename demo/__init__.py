"""Loom Academy: a small learning platform that shows django-loom at work."""
