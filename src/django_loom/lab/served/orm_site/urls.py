"""`/sync/` and `/async/` answer the same."""

from __future__ import annotations

from django.urls import path

from orm_site import views

urlpatterns = [path("sync/", views.notes), path("async/", views.notes_async)]
