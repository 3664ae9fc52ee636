"""The addresses of the app."""

from __future__ import annotations

from django.urls import path

from . import views

app_name = "certificates"

urlpatterns = [
    path("", views.index, name="index"),
    path("<slug:number>.pdf", views.download, name="download"),
    path("<slug:slug>/", views.course, name="course"),
]
