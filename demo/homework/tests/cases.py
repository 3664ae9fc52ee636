"""What the test cases share: two students, a folder of their own, a way to hand in."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import AsyncClient, TestCase, override_settings
from django.urls import reverse

from demo.homework.folder import folder
from demo.homework.models import Submission

from . import samples

HAND_IN = reverse("homework:hand_in")
BOUNDARY = "limit"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


class HomeworkCase(TestCase):
    """Ann is logged in; the storage is a temporary folder, and empty."""

    def setUp(self) -> None:
        super().setUp()
        logging.disable()  # refusals are logged, and they are what is tested
        self.addCleanup(logging.disable, logging.NOTSET)
        storage = tempfile.TemporaryDirectory()
        self.addCleanup(storage.cleanup)
        media = override_settings(MEDIA_ROOT=Path(storage.name))
        media.enable()
        self.addCleanup(media.disable)
        self.ann = get_user_model().objects.create(username="ann")
        self.bob = get_user_model().objects.create(username="bob")
        self.async_client.force_login(self.ann)

    async def hand_in(
        self, content: bytes = samples.PDF, name: str = "essay.pdf", **options: Any
    ) -> Any:
        """Send a file as the script does, or with ``page=True`` as a form without it."""
        return await self.post({"file": SimpleUploadedFile(name, content)}, **options)

    async def post(
        self, form: Any, *, client: AsyncClient | None = None, page: bool = False, **options: Any
    ) -> Any:
        accepted = "text/html" if page else "application/json"
        headers = {"accept": accepted, **options.pop("headers", {})}
        return await (client or self.async_client).post(HAND_IN, form, headers=headers, **options)

    async def post_raw(self, body: bytes, **options: Any) -> Any:
        """Send a body as it is, in the name of a form."""
        return await self.post(body, content_type=FORM, **options)

    def stored(self) -> list[str]:
        """The names of all files in the storage."""
        return sorted(path.name for path in folder().glob("*"))

    async def assert_refused(self, response: Any, status: int, message: str) -> None:
        """The answer says why, and nothing is left."""
        assert response.status_code == status
        assert message in response.json()["message"]
        assert self.stored() == []
        assert await Submission.objects.acount() == 0


def part(name: str, content: bytes, *, filename: str | None = None) -> bytes:
    """One part of a form, as a browser writes it; names are not escaped."""
    shown = f'; filename="{filename}"' if filename is not None else ""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{shown}\r\n\r\n'
    return head.encode() + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()
