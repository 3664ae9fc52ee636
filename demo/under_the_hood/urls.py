"""The addresses of the app."""

from __future__ import annotations

from django.urls import URLPattern

app_name = "under_the_hood"

urlpatterns: list[URLPattern] = []
