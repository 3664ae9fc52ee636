"""The app's place in the project."""

from __future__ import annotations

from django.apps import AppConfig


class UnderTheHoodConfig(AppConfig):
    """Configuration of the app."""

    name = "demo.under_the_hood"

    def ready(self) -> None:
        """Begin to count hand-overs to threads."""
        from .recorder import install

        install()
