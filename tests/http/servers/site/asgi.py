"""The site's ASGI application: django-loom's, with a count of what the server hands over."""

from __future__ import annotations

import os
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.http.servers.site.settings"

from django_loom.asgi import get_asgi_application

from .records import record_of, watch_temporary_files

loom = get_asgi_application()
watch_temporary_files()


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http" or b"record=" not in scope["query_string"]:
        await loom(scope, receive, send)
        return
    record = record_of(scope["query_string"].decode())

    async def counted() -> Any:
        message = await receive()
        record.count(message)
        return message

    async def watched(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.pathsend":
            record.notes.append("path sent")
        await send(message)

    try:
        await loom(scope, counted, watched)
    finally:
        record.notes.append("answered")
