"""What DATABASE_URL means."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import SimpleTestCase

from demo.project.database import database

FOLDER = Path("/data")


class DatabaseTests(SimpleTestCase):
    def test_without_a_url_it_is_sqlite_in_the_data_folder(self) -> None:
        settings = database("", FOLDER)
        assert settings["ENGINE"] == "django_loom.db.sqlite3"
        assert settings["NAME"] == "/data/academy.sqlite3"

    def test_a_url_is_taken_apart(self) -> None:
        settings = database("postgres://ann:p%40ss@db:5433/aca%20demy?sslmode=require", FOLDER)
        expected = {
            "ENGINE": "django_loom.db.postgresql",
            "NAME": "aca demy",
            "USER": "ann",
            "PASSWORD": "p@ss",
            "HOST": "db",
            "PORT": "5433",
        }
        assert settings | expected == settings
        assert settings["OPTIONS"]["sslmode"] == "require"

    def test_what_a_url_leaves_out_is_left_to_the_driver(self) -> None:
        settings = database("postgresql:///academy", FOLDER)
        left_out = [settings[key] for key in ("USER", "PASSWORD", "HOST", "PORT")]
        assert left_out == ["", "", "", ""]

    def test_another_url_is_refused_without_its_password(self) -> None:
        for url in (
            "mysql://ann:secret@db/academy",
            "postgres://ann:secret@db",
            "postgres://ann:secret/x@db/academy",
            "postgres://ann:secret@[::1/academy",
            "postgres://ann:secret@db:port/academy",
            "academy",
        ):
            with self.subTest(url), pytest.raises(ImproperlyConfigured) as caught:
                database(url, FOLDER)
            assert "secret" not in str(caught.value)
