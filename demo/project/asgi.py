"""The application that ``loom serve demo.project.asgi:application`` serves."""

from __future__ import annotations

import os

from django_loom.asgi import get_asgi_application  # django-loom, line 3; was: django.core.asgi

from .lifespan import lifespan

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.project.settings")

application = get_asgi_application(lifespan=lifespan)
