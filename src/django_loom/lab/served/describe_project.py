"""What the lab must know of a project's settings, as the last line of the output, in JSON."""

from __future__ import annotations

import json

import django
from django.conf import settings

if __name__ == "__main__":
    django.setup()
    engines = {alias: each.get("ENGINE", "") for alias, each in settings.DATABASES.items()}
    print("\n" + json.dumps({"engines": engines, "debug": settings.DEBUG}))
