"""The app's place in the project."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.backends.signals import connection_created


class UnderTheHoodConfig(AppConfig):
    """Configuration of the app."""

    name = "demo.under_the_hood"

    def ready(self) -> None:
        """Begin to count hand-overs to threads, and let SQLite's connections wait."""
        from .recorder import install
        from .slow_query import add_function

        install()
        connection_created.connect(add_function, dispatch_uid="under_the_hood.add_function")
