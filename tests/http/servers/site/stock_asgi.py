"""The site under Django's own ASGI handler, for comparison."""

from __future__ import annotations

import os

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.http.servers.site.settings"

from django.core.asgi import get_asgi_application

application = get_asgi_application()
