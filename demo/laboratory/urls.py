"""The addresses of the app."""

from __future__ import annotations

from django.urls import path

from . import views

app_name = "laboratory"

urlpatterns = [
    path("", views.index, name="index"),
    path("panel/", views.panel, name="panel"),
    path("progress/", views.progress, name="progress"),
    path("start/", views.start, name="start"),
    path("cancel/", views.cancel, name="cancel"),
    path("reports/<str:name>/<str:file>", views.report_file, name="report_file"),
]
