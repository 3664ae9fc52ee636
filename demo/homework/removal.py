"""A file goes when its row is gone: by the page, the admin, or with its owner."""

from __future__ import annotations

import asyncio
from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver

from .models import Submission


@receiver(post_delete, sender=Submission)
def remove_after_commit(instance: Submission, using: str, **kwargs: Any) -> None:
    """Remove the file in a thread once the deletion is certain; a rollback keeps it."""
    path = instance.path

    async def remove() -> None:
        await asyncio.to_thread(path.unlink, missing_ok=True)

    transaction.on_commit(remove, using=using)
