"""What the site needs; the lab writes a module of settings that adds the database."""

from __future__ import annotations

SECRET_KEY = "of a site on loopback, for the length of a measurement"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "orm_site.urls"
INSTALLED_APPS = ["orm_site"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
