"""The models of the site that this process serves, which are in the module of its views."""

from __future__ import annotations

from importlib import import_module

from django.conf import settings

import_module(settings.ROOT_URLCONF)
