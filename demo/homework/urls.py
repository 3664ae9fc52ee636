"""The addresses of the app."""

from __future__ import annotations

from django.urls import URLPattern, path

from . import views

app_name = "homework"

urlpatterns: list[URLPattern] = [
    path("", views.index, name="index"),
    path("files/", views.files, name="files"),
    path("hand-in/", views.hand_in, name="hand_in"),
    path("<uuid:identity>/", views.download, name="download"),
    path("<uuid:identity>/delete/", views.delete, name="delete"),
]
