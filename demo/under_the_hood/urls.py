"""The addresses of the app."""

from __future__ import annotations

from django.urls import path

from . import views, work

app_name = "under_the_hood"

urlpatterns = [
    path("", views.index, name="index"),
    path("recent/", views.recent, name="recent"),
    path("pool/", views.pool, name="pool"),
    path("requests/<int:number>/", views.one_request, name="request"),
    path("queries/", views.run_queries, name="queries"),
    path("load/", views.run_load, name="load"),
    path("work/sync/", work.sync, name="sync"),
    path("work/serial/", work.serial, name="serial"),
    path("work/gathered/", work.gathered, name="gathered"),
]
