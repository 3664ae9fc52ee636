"""The site under an ASGI server, on django-loom."""

from __future__ import annotations

from django_loom.asgi import get_asgi_application

application = get_asgi_application()
