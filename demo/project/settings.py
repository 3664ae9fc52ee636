"""Settings of the demo: a normal Django project, with django-loom's three lines."""

from __future__ import annotations

import os
from pathlib import Path

from .data_folder import data_folder, secret_key
from .database import database

ROOT = Path(__file__).parents[1]
DATA = data_folder()

SECRET_KEY = secret_key(DATA)
DEBUG = os.environ.get("LOOM_DEMO_DEBUG") == "1"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "django_loom",  # django-loom, line 1
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "servestatic",
    "django.contrib.staticfiles",
    "demo.home",
    "demo.books",
    "demo.certificates",
    "demo.homework",
    "demo.under_the_hood",
    "demo.laboratory",
]

# django-loom, line 2: its engines, instead of Django's own. Line 3 is in asgi.py.
DATABASES = {"default": database(os.environ.get("DATABASE_URL", ""), DATA)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LOOM = {
    "SYNC_VIEWS": "thread",
    "THREADS": 10,
    "THREAD_QUEUE": 1000,
    "MAX_BODY": 200 * 1024**2,
    "BODY_TIMEOUT": 30,
    "BODY_RATE": 500,
}

MIDDLEWARE = [
    "demo.project.middleware.ServerTiming",
    "django.middleware.security.SecurityMiddleware",
    "demo.project.static_files.StaticFiles",
    "demo.under_the_hood.middleware.record_requests",
    "demo.project.middleware.ContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "demo.project.urls"
# As Django has them by itself, but for DEBUG: there a change in a template shows at once.
CACHED = "django.template.loaders.cached.Loader"
TEMPLATE_LOADERS = [
    "django.template.loaders.filesystem.Loader",
    "django.template.loaders.app_directories.Loader",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "OPTIONS": {
            "loaders": TEMPLATE_LOADERS if DEBUG else [(CACHED, TEMPLATE_LOADERS)],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "demo.home.areas.context",
            ],
        },
    }
]

STATIC_URL = "/static/"
STATICFILES_DIRS = [ROOT / "static"]
# Straight from the apps' folders: nothing to collect first. Each is looked up when it is asked
# for; with what was noted of it at the start, one that changes since would be cut off.
SERVESTATIC_USE_FINDERS = True
SERVESTATIC_AUTOREFRESH = True
MEDIA_ROOT = DATA / "uploads"

# Cookies are for all ports of a host: with Django's names for them, this site would log its
# visitors out of any other project that they have on this machine.
SESSION_COOKIE_NAME = "academy_session"
CSRF_COOKIE_NAME = "academy_csrf"

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True

# Errors show in the terminal, also where DEBUG is off.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"django.request": {"level": "ERROR"}},
}

# The services that the home page asks; `python -m demo` starts them and sets this.
SERVICES = {
    "promotions": os.environ.get("LOOM_DEMO_PROMOTIONS", "http://127.0.0.1:8101"),
    "recommendations": os.environ.get("LOOM_DEMO_RECOMMENDATIONS", "http://127.0.0.1:8102"),
}
# Seconds that the home page may take, whatever they do.
HOME_DEADLINE = 1.0
