"""``ENGINE = "django_loom.db.sqlite3"``."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from django.db.backends.sqlite3 import base

from django_loom.db.pool_options import PoolOptions
from django_loom.db.threaded import ThreadedDatabaseMixin


class DatabaseWrapper(ThreadedDatabaseMixin, base.DatabaseWrapper):
    """Django's SQLite backend; on a loop, its calls run in a thread."""

    connection_attributes = ("autocommit", "transaction_mode")
    connection: Any

    def adapt_pool_options(self, options: PoolOptions) -> PoolOptions:
        """Keep one connection for ever if it is the database, as one in memory is."""
        if not self.is_in_memory_db():
            return options
        return replace(options, min_size=1, max_size=1, max_idle=math.inf, max_lifetime=math.inf)

    @property
    def uses_pool(self) -> bool:
        """Whether the connection comes from the pool.

        Not a thread's, if it is to a database in memory that connections share, as that
        of Django's test runner. Nobody closes it there, and the pool has only that one.
        """
        own = not (self.shared or self.pooled) and self._is_shared_in_memory()
        return super().uses_pool and not own

    def _is_shared_in_memory(self) -> bool:
        return self.is_in_memory_db() and "cache=shared" in str(self.settings_dict["NAME"])

    def connection_is_idle(self) -> bool:
        """Tell if the connection has no transaction open."""
        return super().connection_is_idle() and not self.connection.in_transaction

    def reset_connection(self) -> bool:
        """Roll back what a cancelled call left; its thread does so before all else."""
        if self.slot is None or self.closed_in_transaction:
            return False
        self.connection.post("rollback")
        return self.autocommit
