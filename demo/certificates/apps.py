"""The app's place in the project."""

from __future__ import annotations

from django.apps import AppConfig


class CertificatesConfig(AppConfig):
    """Configuration of the app."""

    name = "demo.certificates"
