"""The application that puts Django on the loop: ``INSTALLED_APPS = ["django_loom"]``."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.signals import request_started


class LoomConfig(AppConfig):
    """Installs the rerouting and registers the system checks."""

    name = "django_loom"
    label = "django_loom"
    verbose_name = "django-loom"

    def ready(self) -> None:
        """Run once, when Django starts."""
        from . import versions

        versions.require_supported()
        from . import checks, reroute  # which need what such a version has
        from .db.query_capture import begin_logs

        checks.register_checks()
        reroute.install()
        request_started.connect(begin_logs)
