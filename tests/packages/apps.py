"""The app of a site's models."""

from __future__ import annotations

from django.apps import AppConfig


class SiteConfig(AppConfig):
    name = "tests.packages"
    label = "site"
