"""Empty: a test that sends requests overrides ROOT_URLCONF with its own module."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
