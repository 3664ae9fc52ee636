"""A database for each site."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.services import Postgres

numbers = count()


@pytest.fixture
def site_database(postgres: Postgres, tmp_path: Path) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Makes an empty database of an engine, and gives its address; it is gone after the test.

    On PostgreSQL a site may make a role, which has the name of its database.
    """
    made: list[sql.Identifier] = []

    def make(engine: str) -> dict[str, Any]:
        if engine == "sqlite3":
            return {"NAME": str(tmp_path / "site.sqlite3")}
        name = f"packages_{os.getpid()}_{next(numbers)}"
        with psycopg.connect(postgres.dsn, autocommit=True) as connection:
            made.append(sql.Identifier(name))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(made[-1]))
        return postgres.django(NAME=name)

    yield make
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        for name in made:
            drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            connection.execute(drop.format(name))
            connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(name))
