"""One table, which the lab creates and drops."""

from __future__ import annotations

from django.db import models


class Note(models.Model):  # type: ignore[misc]  # Django has no types
    id = models.IntegerField(primary_key=True)
    text = models.TextField()

    class Meta:
        db_table = "loom_lab_note"
