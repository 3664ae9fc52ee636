"""The site's addresses."""

from __future__ import annotations

from django.urls import path

from . import basic_views, upload_views, waiting_views

urlpatterns = [
    path("plain", basic_views.plain),
    path("plain-in-thread", basic_views.plain_in_thread),
    path("form", basic_views.form),
    path("json", basic_views.json_echo),
    path("cookies", basic_views.cookies),
    path("redirect", basic_views.redirect),
    path("broken", basic_views.broken),
    path("notes", basic_views.notes),
    path("record/<name>", basic_views.record),
    path("open/<name>", basic_views.open_gate),
    path("statistics", basic_views.statistics),
    path("wait/sleep", waiting_views.sleeping),
    path("wait/query", waiting_views.querying),
    path("wait/query-on-loop", waiting_views.querying_on_loop),
    path("wait/async-parts", waiting_views.async_parts),
    path("wait/sync-parts", waiting_views.sync_parts),
    path("wait/endless", waiting_views.endless),
    path("wait/querying-parts", waiting_views.querying_parts),
    path("wait/upload", waiting_views.receiving),
    path("wait/upload-in-groups", waiting_views.receiving_in_groups),
    path("download", waiting_views.download),
    path("refused/sync", upload_views.refusing),
    path("refused/streaming", upload_views.refusing_async),
    path("upload/slow-in-thread", upload_views.slow_in_thread),
    path("upload/slow-on-loop", upload_views.slow_on_loop),
    path("upload/parts", upload_views.parts),
    path("upload/async-parts", upload_views.async_parts),
    path("upload/whole", upload_views.whole),
    path("upload/async-whole", upload_views.async_whole),
    path("upload/streamed", upload_views.streamed),
]
