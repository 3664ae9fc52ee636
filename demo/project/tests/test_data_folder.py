"""The data folder, and the key that lies in it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from unittest.mock import patch

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import SimpleTestCase

from demo.project.data_folder import data_folder, secret_key


class DataFolderTests(SimpleTestCase):
    def setUp(self) -> None:
        self.parent = Path(self.enterContext(tempfile.TemporaryDirectory())).resolve()

    def test_a_new_one_is_for_its_owner_alone(self) -> None:
        wanted = self.parent / "a" / "b"
        with patch.dict(os.environ, LOOM_DEMO_DATA=str(wanted)):
            assert data_folder() == wanted
            assert data_folder() == wanted, "it is there now"
        assert wanted.stat().st_mode & 0o777 == 0o700

    def test_one_that_cannot_be_used_is_named(self) -> None:
        file = self.parent / "file"
        file.touch()
        for wanted in (file, file / "folder"):
            with (
                self.subTest(wanted.name),
                patch.dict(os.environ, LOOM_DEMO_DATA=str(wanted)),
                pytest.raises(ImproperlyConfigured, match=str(wanted)),
            ):
                data_folder()

    def test_the_key_stays_and_is_for_its_owner_alone(self) -> None:
        key = secret_key(self.parent)
        assert len(key) >= 50
        assert secret_key(self.parent) == key
        assert [path.name for path in self.parent.iterdir()] == ["secret_key"]
        assert (self.parent / "secret_key").stat().st_mode & 0o777 == 0o600
