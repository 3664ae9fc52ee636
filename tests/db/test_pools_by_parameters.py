"""A pool for each set of connection parameters."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connections
from psycopg import sql

import django_loom
from django_loom import run_sync
from django_loom.db import registry
from tests import services
from tests.db.support import ask, in_use, second_alias
from tests.loops import LoopRunner

pytestmark = pytest.mark.usefixtures("db_tables")


def use(alias: str, entry: dict[str, Any], query: str) -> Any:
    connections.databases[alias] = entry
    connections[alias].close()
    del connections[alias]
    return ask(query, using=alias)


def test_settings_that_are_replaced_have_connections_of_their_own(loop_runner: LoopRunner) -> None:
    query = "SELECT current_setting('application_name')"

    async def main() -> None:
        with second_alias() as alias:
            entries = [deepcopy(settings.DATABASES[alias]) for _ in range(2)]
            for entry, name in zip(entries, "ab", strict=True):
                entry["OPTIONS"]["application_name"] = name
            found = [await run_sync(use, alias, entries[n], query) for n in (0, 1, 0, 1)]
            assert found == ["a", "b", "a", "b"]
            assert in_use(alias) == 0

    loop_runner(main)


def test_a_change_in_place_closes_the_pool_before(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        with second_alias() as alias:
            assert await run_sync(ask, "SELECT 1", using=alias) == 1
            before = django_loom.pool(alias)
            connections[alias].settings_dict["OPTIONS"]["application_name"] = "changed"
            after = django_loom.pool(alias)
            assert after is not before
            assert before.is_closed
            assert after is django_loom.pool(alias)
            assert [each for each in registry.pools() if each is before] == []

    loop_runner(main)


def test_another_user_has_connections_of_its_own(
    loop_runner: LoopRunner, postgres: services.Postgres
) -> None:
    roles = ["loom_ann", "loom_bob"]

    async def main() -> None:
        with second_alias() as alias:
            entries = []
            for role in roles:
                entries.append(deepcopy(settings.DATABASES[alias]) | {"USER": role})
            found = [await run_sync(use, alias, entries[n], "SELECT user") for n in (0, 1, 0, 1)]
            assert found == [*roles, *roles]
            assert in_use(alias) == 0

    with psycopg.connect(postgres.dsn, autocommit=True) as outside:
        password = sql.Literal(postgres.password)
        try:
            for role in map(sql.Identifier, roles):
                outside.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, password))
            loop_runner(main)
        finally:
            for role in map(sql.Identifier, roles):
                outside.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))


@pytest.mark.parametrize("first", [True, False])
def test_the_mode_of_autocommit_is_one_of_them(loop_runner: LoopRunner, first: bool) -> None:
    def mode(entry: dict[str, Any]) -> tuple[bool, bool]:
        use("default_again", entry, "SELECT 1")
        connection = connections["default_again"]
        if not entry["AUTOCOMMIT"]:
            connection.rollback()
        return connection.get_autocommit(), connection.connection.autocommit

    async def main() -> None:
        with second_alias() as alias:
            entries = [deepcopy(settings.DATABASES[alias]) for _ in range(2)]
            for entry, on in zip(entries, (first, not first), strict=True):
                entry["AUTOCOMMIT"] = on
            found = [await run_sync(mode, entries[n]) for n in (0, 0, 1, 1, 0)]
            assert found == [(on, on) for on in (first, first, not first, not first, first)]
            assert in_use(alias) == 0
            pools = [each for each in registry.pools() if each.alias == alias]
            assert [each.statistics().created for each in pools] == [1, 1]

    loop_runner(main)


class Uncopied:
    """As an SSL context or a module: it can't be copied, and equals nothing but itself."""

    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("cannot be copied")

    __copy__ = __reduce_ex__ = __deepcopy__


NESTED: list[tuple[Any, Callable[[Any], Any]]] = [
    ({"a": {"b": 1}}, lambda value: value["a"].update(b=2)),
    ([[1], 2], lambda value: value[0].append(3)),
    (([1], 2), lambda value: value[0].append(3)),
    ({1, 2}, lambda value: value.add(3)),
    ({"a": [Uncopied()]}, lambda value: value["a"].append(Uncopied())),
]


@pytest.mark.parametrize(("value", "change"), NESTED)
def test_a_change_in_place_inside_of_an_option_is_noticed(
    value: Any, change: Callable[[Any], Any]
) -> None:
    with second_alias() as alias:
        options = connections[alias].settings_dict["OPTIONS"]
        options["nested"] = value  # nobody connects with it
        before = django_loom.pool(alias)
        assert django_loom.pool(alias) is before
        change(value)
        after = django_loom.pool(alias)
        assert after is not before
        assert before.is_closed
        assert django_loom.pool(alias) is after


def test_what_is_no_container_may_be_anything() -> None:
    with second_alias() as alias:
        options = connections[alias].settings_dict["OPTIONS"]
        options["object"] = {"in": (Uncopied(), psycopg)}
        before = django_loom.pool(alias)
        assert django_loom.pool(alias) is before
        options["object"] = {"in": (Uncopied(), psycopg)}
        assert django_loom.pool(alias) is not before
