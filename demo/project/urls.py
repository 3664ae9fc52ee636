"""The addresses of the site."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from django_loom import on_loop

admin.site.site_header = admin.site.site_title = "Loom Academy"

urlpatterns = [
    path("", include("demo.home.urls")),
    path("books/", include("demo.books.urls")),
    path("certificates/", include("demo.certificates.urls")),
    path("homework/", include("demo.homework.urls")),
    path("under-the-hood/", include("demo.under_the_hood.urls")),
    path("lab/", include("demo.laboratory.urls")),
    # Synchronous code that waits for nothing but the database: no thread for it.
    path("accounts/login/", on_loop(LoginView.as_view()), name="login"),
    path("accounts/logout/", on_loop(LogoutView.as_view()), name="logout"),
    path("admin/", on_loop(admin.site.urls)),
]
