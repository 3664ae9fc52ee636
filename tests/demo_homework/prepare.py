"""Makes the data of the demo that a server of these tests runs on; prints its sessions as JSON."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module

import django

STUDENTS = ["ann", "bob", "carol", "dave"]


def session_of(name: str) -> str:
    """Make a student, log in, and return the session's key: no password need be hashed."""
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.auth.models import User

    student, _ = User.objects.get_or_create(username=name)
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = str(student.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = student.get_session_auth_hash()
    session.save()
    key: str = session.session_key
    return key


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.project.settings")
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    json.dump({name: session_of(name) for name in STUDENTS}, sys.stdout)
