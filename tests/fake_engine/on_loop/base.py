"""`ENGINE = "tests.fake_engine.on_loop"`."""

from __future__ import annotations

from django_loom.db.threaded import ThreadedDatabaseMixin
from tests.fake_engine import base


class DatabaseWrapper(ThreadedDatabaseMixin, base.DatabaseWrapper):
    pass
