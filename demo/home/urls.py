"""The addresses of the app."""

from __future__ import annotations

from django.urls import path

from . import views
from .service_views import services

app_name = "home"

urlpatterns = [
    path("", views.gathered, name="index"),
    path("sync/", views.sync, name="sync"),
    path("serial/", views.serial, name="serial"),
    path("services/", services, name="services"),
]
