"""OpenTelemetry, for Django and psycopg: a span for each query, in that of its request."""

from __future__ import annotations

from django.db import connection
from django.http import HttpRequest
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.packages.visits import KINDS, VISITORS, Meet, Visits, number_of, views

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
DjangoInstrumentor().instrument(tracer_provider=provider)
PsycopgInstrumentor().instrument(tracer_provider=provider)
tracer = provider.get_tracer(__name__)


def select(number: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {number} AS visitor")


def work(request: HttpRequest, meet: Meet) -> None:
    number = number_of(request)
    select(number)
    with tracer.start_as_current_span(f"work {number}"):
        select(number)
        meet()
        select(number)


urlpatterns = views(work)


def queries() -> list[list[object]]:
    """Each query with the names of the spans that it is in, the nearest first."""
    spans = {span.context.span_id: span for span in exporter.get_finished_spans()}
    found = []
    for span in spans.values():
        statement = dict(span.attributes or {}).get("db.statement", "")
        if "visitor" in str(statement):
            names, parent = [], span.parent
            while parent is not None and parent.span_id in spans:
                names.append(spans[parent.span_id].name)
                parent = spans[parent.span_id].parent
            found.append([statement, names])
    exporter.clear()
    return sorted(found)


async def visit(visits: Visits) -> None:
    for kind in KINDS:
        exporter.clear()
        await visits.at_once(kind)
        request = f"GET {kind}/"
        expected: list[list[object]] = []
        for number in range(VISITORS):
            statement = f"SELECT {number} AS visitor"
            expected += [[statement, [request]], *[[statement, [f"work {number}", request]]] * 2]
        visits.check(f"queries ({kind})", sorted(expected), queries())
