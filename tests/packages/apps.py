"""The app of a site's models, which are in the module that has its views."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig
from django.conf import settings


class SiteConfig(AppConfig):
    name = "tests.packages"
    label = "site"

    def import_models(self) -> None:
        self.models = self.apps.all_models[self.label]
        self.models_module = import_module(settings.ROOT_URLCONF)
