"""Serves traced_site under a tracing tool: `python -m tests.http.traced <tool> <SYNC_VIEWS>`.

In a process of its own, for the tools patch Django and never put it back. It prints
what the tool would have sent.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

from django.conf import settings

Serve = Callable[[], None]
Header = Callable[[int], dict[str, str]]


def sentry(serve: Callable[..., None]) -> list[dict[str, Any]]:
    import sentry_sdk
    from sentry_sdk.envelope import Envelope
    from sentry_sdk.integrations.django import DjangoIntegration
    from sentry_sdk.transport import Transport

    events: list[dict[str, Any]] = []

    class Recorder(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            events.extend(
                event
                for item in envelope.items
                if (event := item.get_transaction_event() or item.get_event())
            )

    sentry_sdk.init(
        dsn="http://key@localhost/1",
        transport=Recorder(),
        integrations=[DjangoIntegration(middleware_spans=True)],
        auto_enabling_integrations=False,
        traces_sample_rate=1.0,
    )
    serve()
    return events


def opentelemetry(serve: Callable[..., None]) -> list[dict[str, Any]]:
    from opentelemetry.instrumentation.django import DjangoInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from tests.http import traced_site

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    DjangoInstrumentor().instrument(tracer_provider=provider, is_sql_commentor_enabled=True)
    traced_site.work = provider.get_tracer(__name__).start_as_current_span
    serve(lambda number: {"traceparent": f"00-{number:032x}-{number:016x}-01"})
    return [json.loads(span.to_json()) for span in exporter.get_finished_spans()]


async def request_all(header: Header) -> None:
    from django_loom.asgi import get_asgi_application
    from tests.http.client import Browser
    from tests.http.traced_site import REQUESTS

    application = get_asgi_application()

    async def request(url: str) -> None:
        number = int(url.split("/")[-2])
        answer = await Browser(application).get(url, **header(number))
        assert answer.status == (500 if "failing" in url else 200), answer.text

    jobs: list[Awaitable[None]] = [request(url) for url in REQUESTS]
    await asyncio.gather(*jobs)


def main(tool: str, sync_views: str) -> None:
    settings.DATABASES["default"].update(json.loads(os.environ["LOOM_CHILD_DATABASE"]))
    settings.ROOT_URLCONF = "tests.http.traced_site"
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.LOOM = {"SYNC_VIEWS": sync_views}

    import django

    django.setup()
    logging.getLogger("django.request").setLevel(logging.CRITICAL)  # the faults are wanted

    def serve(header: Header = lambda number: {}) -> None:
        asyncio.run(request_all(header))

    print(json.dumps(globals()[tool](serve), default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
