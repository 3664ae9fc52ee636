"""What a unit changes of its session: found by its later statements, and by nobody else."""

from __future__ import annotations

import asyncio

from django.db import connection, transaction

import django_loom
from benchmarks.fuzz.threads import somewhere
from benchmarks.fuzz.worker import Operation, Undo, Worker
from django_loom.bridge import Unit, unit_of_work
from django_loom.exceptions import AutocommitLeftOff

# The tenant by two settings, locks, channels and temporary tables of the session.
_STATE = """
    SELECT current_setting('application_name'), current_setting('search_path'),
        array(SELECT objid::int FROM pg_locks
            WHERE locktype = 'advisory' AND pid = pg_backend_pid() ORDER BY 1),
        array(SELECT pg_listening_channels()),
        to_regclass('pg_temp.left_behind')::text
"""
CLEAN = ("", '"$user", public', [], [], None)
State = tuple[str, str, list[int], list[str], str | None]


def state() -> State:
    with connection.cursor() as cursor:
        cursor.execute(_STATE)
        found: State = cursor.fetchone()
        return found


def find_nothing(worker: Worker) -> None:
    """Whoever had the connection before has left nothing."""
    worker.require(state(), CLEAN)


async def nothing(worker: Worker) -> None:
    await django_loom.run_sync(find_nothing, worker)


def change_session(worker: Worker, kind: int) -> State:
    """Change the session in one of five ways; what is found of it from now on."""
    owner = worker.owner
    name, path, locks, channels, table = CLEAN
    if kind == 0:
        name, sql = f"tenant {owner}", f"SET application_name = 'tenant {owner}'"
    elif kind == 1:
        path, sql = f"tenant_{owner}, public", f"SET search_path TO tenant_{owner}, public"
    elif kind == 2:
        locks, sql = [owner], f"SELECT pg_advisory_lock({owner})"
    elif kind == 3:
        channels, sql = [f"of_{owner}"], f"LISTEN of_{owner}"
    else:
        table, sql = "left_behind", f"CREATE TEMP TABLE left_behind AS SELECT {owner} AS owner"
    with connection.cursor() as cursor:
        cursor.execute(sql)
    return name, path, locks, channels, table


def check_session(worker: Worker, unit: Unit, expected: State) -> None:
    found = state()
    # A thread may go on when its unit has ended, or when a cancelled query has cost the
    # connection: it may then find nothing, yet never what is another's.
    worker.require(found, expected, *[CLEAN] * (unit.ended or worker.is_cancelled))
    worker.ask()


def _begin(worker: Worker, kind: int, in_block: bool) -> State:
    find_nothing(worker)
    if not in_block:
        return change_session(worker, kind)
    with transaction.atomic():
        worker.ask()
        return change_session(worker, kind)


async def session(worker: Worker) -> None:
    kind, in_block = worker.random.randrange(5), worker.random.random() < 0.3
    with unit_of_work() as unit:
        expected = await django_loom.run_sync(_begin, worker, kind, in_block)
        for _ in range(worker.random.randrange(3)):
            await somewhere(worker, check_session, worker, unit, expected)
        places = [somewhere(worker, check_session, worker, unit, expected) for _ in range(3)]
        await asyncio.gather(*places)
        number = worker.ledger.begin(2)
        async with django_loom.atomic():
            await worker.row(number).asave()
            await somewhere(worker, check_session, worker, unit, expected)
            await worker.row(number).asave()
        worker.ledger.committed.add(number)


async def pinned(worker: Worker) -> None:
    async with django_loom.pin():
        await django_loom.run_sync(find_nothing, worker)
        await asyncio.gather(*(somewhere(worker, worker.ask) for _ in range(3)))
        if worker.random.random() < 0.5:
            await django_loom.run_sync(change_session, worker, worker.random.randrange(5))


def _without_autocommit(worker: Worker, number: int, committed: bool) -> None:
    transaction.set_autocommit(False)
    worker.save(number)
    if committed:
        transaction.commit()
        transaction.set_autocommit(True)


async def autocommit_off(worker: Worker) -> None:
    number = worker.ledger.begin(3)
    with unit_of_work():
        await somewhere(worker, _without_autocommit, worker, number, True)
        await worker.echo()
    worker.ledger.committed.add(number)


async def autocommit_left_off(worker: Worker) -> None:
    number = worker.ledger.begin(3)
    worker.ledger.rolled_back.add(number)
    try:
        with unit_of_work():
            await somewhere(worker, _without_autocommit, worker, number, False)
            await worker.echo()
    except AutocommitLeftOff:
        return
    worker.violated("autocommit was left off, and that was no error")


def _fails(worker: Worker, number: int) -> None:
    with transaction.atomic():
        worker.save(number)
        change_session(worker, worker.random.randrange(5))
        raise Undo


async def changed_and_rolled_back(worker: Worker) -> None:
    number = worker.ledger.begin(3)
    worker.ledger.rolled_back.add(number)
    try:
        with unit_of_work():
            await somewhere(worker, _fails, worker, number)
    except Undo:
        return
    worker.violated("an error was lost")


OPERATIONS: list[Operation] = [
    nothing,
    session,
    session,
    pinned,
    autocommit_off,
    autocommit_left_off,
    changed_and_rolled_back,
]
