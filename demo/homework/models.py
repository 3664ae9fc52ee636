"""What was handed in."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from django.conf import settings
from django.db import models

from . import names
from .folder import path_of
from .kinds import Kind


class Submission(models.Model):
    """A file of a student's. It lies under its ``id``; ``name`` is what the student calls it."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="submissions"
    )
    name = models.CharField("file name", max_length=names.LONGEST)
    kind = models.CharField(max_length=8, choices=Kind)
    size = models.PositiveBigIntegerField(help_text="In bytes.")
    handed_in = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-handed_in", "name"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="homework_one_file_of_each_name")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return path_of(self.id)
