"""The app's place in the project."""

from __future__ import annotations

from django.apps import AppConfig


class HomeworkConfig(AppConfig):
    """Configuration of the app."""

    name = "demo.homework"

    def ready(self) -> None:
        """Sweep up what a process that was killed has left, and watch for deletions."""
        from . import folder, removal  # noqa: F401 - its receiver registers itself

        folder.sweep()
