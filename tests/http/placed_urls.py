"""A URLconf that is included by its name."""

from django.urls import path

from tests.http.placed import where

app_name = "of_module"
urlpatterns = [path("", where, name="front")]
