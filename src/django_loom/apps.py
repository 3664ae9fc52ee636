"""The application that puts Django on the loop: ``INSTALLED_APPS = ["django_loom"]``."""

from __future__ import annotations

from django.apps import AppConfig


class LoomConfig(AppConfig):
    """Installs the rerouting and registers the system checks."""

    name = "django_loom"
    label = "django_loom"
    verbose_name = "django-loom"

    def ready(self) -> None:
        """Run once, when Django starts."""
        from . import checks, reroute, versions

        versions.require_supported()
        checks.register_checks()
        reroute.install()
