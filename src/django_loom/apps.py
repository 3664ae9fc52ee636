"""The application that puts Django on the loop: ``INSTALLED_APPS = ["django_loom"]``."""

from __future__ import annotations

from types import ModuleType

from django.apps import AppConfig
from django.core.signals import request_started


class LoomConfig(AppConfig):
    """Installs the rerouting and registers the system checks."""

    name = "django_loom"
    label = "django_loom"
    verbose_name = "django-loom"

    def __init__(self, app_name: str, app_module: ModuleType) -> None:
        """Run once, before the apps listed later and all models are imported."""
        super().__init__(app_name, app_module)
        from . import versions

        versions.require_supported()
        from . import reroute  # which needs what such a version has

        reroute.install_at_load()

    def ready(self) -> None:
        """Run once, when Django starts."""
        from . import checks, reroute
        from .db.query_capture import begin_logs

        checks.register_checks()
        reroute.install()
        request_started.connect(begin_logs)
