"""`python -m benchmarks.http.prepare`: Django's own tables, a user, a session.

Reads a specification as `benchmarks.http.serve` does, and prints the key of the session,
which is logged in.
"""

from __future__ import annotations

import json
import sys

from benchmarks.harness import read_spec
from benchmarks.http.answers import USER
from benchmarks.http.serve import django_application


def logged_in_session() -> str:
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.auth.models import User
    from django.contrib.sessions.backends.db import SessionStore

    user, _ = User.objects.get_or_create(username=USER)
    store = SessionStore()
    store[SESSION_KEY] = str(user.pk)
    store[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.create()
    return str(store.session_key)


def main() -> None:
    spec = read_spec()
    django_application(spec)
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    json.dump(logged_in_session(), sys.stdout)


if __name__ == "__main__":
    main()
