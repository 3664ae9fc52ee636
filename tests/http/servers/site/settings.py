"""Django settings of the site; the environment variable LOOM_SITE has what differs, as JSON."""

from __future__ import annotations

import json
import os

GIVEN = json.loads(os.environ["LOOM_SITE"])
FOLDER = GIVEN["folder"]

DATABASES = {
    alias: {
        "ENGINE": "django_loom.db.postgresql",
        **GIVEN["database"],
        "OPTIONS": {
            "application_name": GIVEN["name"],
            "connect_timeout": 2,
            "pool": {"min_size": 1, "max_size": max_size, "timeout": 10},
        },
    }
    for alias, max_size in {"default": 4, "single": 1}.items()
}
INSTALLED_APPS = ["django_loom", "tests.http.servers.site"]
MIDDLEWARE = [
    "tests.http.servers.site.middleware.refuse",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
LOOM = GIVEN["loom"]
FILE_UPLOAD_TEMP_DIR = f"{FOLDER}/uploads"
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
ALLOWED_HOSTS = ["127.0.0.1"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "tests.http.servers.site.urls"
SECRET_KEY = "for the tests only"
USE_TZ = True
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "{levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
