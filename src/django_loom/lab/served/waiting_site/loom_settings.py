"""The same settings with django-loom put in."""

from __future__ import annotations

from waiting_site.settings import *  # noqa: F403 - as Django projects do
from waiting_site.settings import INSTALLED_APPS

INSTALLED_APPS = ["django_loom", *INSTALLED_APPS]
