"""Django settings of the tests; conftest.py fills in the addresses of the servers."""

import os

# Of the tests that run at once, each process has databases of its own, on one server too.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
POOL = {"min_size": 1, "max_size": 10, "timeout": 10}

DATABASES = {
    "default": {
        "ENGINE": "django_loom.db.postgresql",
        "NAME": f"loom{WORKER}",
        "OPTIONS": {"pool": POOL},
    },
    "other": {
        "ENGINE": "django_loom.db.postgresql",
        "NAME": f"loom_other{WORKER}",
        "OPTIONS": {"pool": POOL | {"max_size": 4}},
    },
    "sqlite": {
        "ENGINE": "django_loom.db.sqlite3",
        "NAME": "loom.sqlite3",
        "TEST": {"DEPENDENCIES": []},
    },
}
INSTALLED_APPS = [
    "django_loom",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "tests.testapp",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
# Tables come from the models: there is no migration to test, and this takes a tenth of the time.
MIGRATION_MODULES = {
    "admin": None,
    "auth": None,
    "contenttypes": None,
    "sessions": None,
    "testapp": None,
}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ROOT_URLCONF = "tests.testapp.urls"
SECRET_KEY = "for the tests only"
USE_TZ = True
