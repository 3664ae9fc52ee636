"""`orm_table.py create` makes the table of orm_site with its rows, `orm_table.py drop` ends it."""

from __future__ import annotations

import sys

import django
from django.db import connection

ROWS = 100


def main(drop: bool) -> None:
    from orm_site.models import Note  # once the apps are loaded

    there = Note._meta.db_table in connection.introspection.table_names()
    with connection.schema_editor() as editor:
        if there:  # one that was left by a run that was killed, too
            editor.delete_model(Note)
        if not drop:
            editor.create_model(Note)
    if not drop:
        Note.objects.bulk_create(Note(id=key, text=f"note {key}") for key in range(ROWS))


if __name__ == "__main__":
    django.setup()
    main(drop=sys.argv[1] == "drop")
