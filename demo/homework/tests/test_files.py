"""Files that are there: download, deletion, and what is swept up."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse

from demo.homework.arrivals import Arrival
from demo.homework.folder import STALE_SECONDS, folder, part_of, path_of, sweep
from demo.homework.models import Submission
from django_loom import atomic, run_sync

from . import samples
from .cases import HomeworkCase


async def handed_in(case: Any, content: bytes = samples.PDF, name: str = "essay.pdf") -> Submission:
    """Hand in a file, and return its row."""
    await case.hand_in(content, name)
    return await Submission.objects.aget(name=name)


def content_of(response: Any) -> bytes:
    """Read what is streamed, which closes the file."""
    return b"".join(response.streaming_content)


def address(submission: Submission, action: str = "download") -> str:
    return reverse(f"homework:{action}", args=[submission.id])


class DownloadTests(HomeworkCase):
    async def test_download_is_the_file_with_its_name(self) -> None:
        submission = await handed_in(self)
        response = await self.async_client.get(address(submission))
        assert content_of(response) == samples.PDF
        assert response["Content-Disposition"] == 'attachment; filename="essay.pdf"'
        assert response["Content-Type"] == "application/pdf"

    async def test_name_in_the_header_is_safe(self) -> None:
        names = {
            'say "hi"\\.pdf': None,
            "a;b=c, d.pdf": 'attachment; filename="a;b=c, d.pdf"',
            "Сочинение.pdf": (
                "attachment; filename*=utf-8''%D0%A1%D0%BE%D1%87%D0%B8%D0%BD"
                "%D0%B5%D0%BD%D0%B8%D0%B5.pdf"
            ),
        }
        for name, expected in names.items():
            submission = await Submission.objects.acreate(
                owner=self.ann, name=name, kind="pdf", size=1
            )
            folder().mkdir(exist_ok=True)
            submission.path.write_bytes(b"x")
            response = await self.async_client.get(address(submission))
            assert content_of(response) == b"x"
            assert response["Content-Disposition"] == (
                expected or r'attachment; filename="say \"hi\"\\.pdf"'
            )

    async def test_active_content_is_never_shown(self) -> None:
        submission = await handed_in(self, b"<script>alert(document.cookie)</script>", "page.html")
        response = await self.async_client.get(address(submission))
        content_of(response)
        assert response["Content-Type"] == "text/plain; charset=utf-8"
        assert response["Content-Disposition"].startswith("attachment")
        assert response["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in response["Content-Security-Policy"]

    async def test_others_files_are_not_there(self) -> None:
        submission = await handed_in(self)
        await self.async_client.aforce_login(self.bob)
        assert (await self.async_client.get(address(submission))).status_code == 404
        delete = await self.async_client.post(address(submission, "delete"))
        assert delete.status_code == 404
        assert submission.path.exists()

    async def test_file_that_is_gone_from_the_disk(self) -> None:
        submission = await handed_in(self)
        submission.path.unlink()
        assert (await self.async_client.get(address(submission))).status_code == 404


class DeletionTests(HomeworkCase):
    @asynccontextmanager
    async def committed(self) -> AsyncIterator[None]:
        """Let what is done in a block take effect as a commit would: in a TestCase there is none.

        Until then the file must be there.
        """
        before = self.stored()
        with self.captureOnCommitCallbacks() as callbacks:
            yield
        assert self.stored() == before
        for callback in callbacks:
            await run_sync(callback)

    async def test_file_goes_with_its_row_after_the_commit(self) -> None:
        submission = await handed_in(self)
        async with self.committed():
            response = await self.async_client.post(address(submission, "delete"), follow=True)
        self.assertContains(response, "essay.pdf is deleted.")
        assert self.stored() == []
        assert await Submission.objects.acount() == 0
        again = await self.async_client.post(address(submission, "delete"))
        assert again.status_code == 404

    async def test_script_gets_the_list_without_it(self) -> None:
        submission = await handed_in(self)
        await handed_in(self, name="other.pdf")
        response = await self.async_client.post(
            address(submission, "delete"), headers={"hx-request": "true"}
        )
        self.assertContains(response, "other.pdf")
        self.assertNotContains(response, "essay.pdf")

    async def test_address_takes_nothing_but_post(self) -> None:
        submission = await handed_in(self)
        response = await self.async_client.get(address(submission, "delete"))
        assert response.status_code == 405
        assert await Submission.objects.acount() == 1

    async def test_rollback_keeps_the_file(self) -> None:
        submission = await handed_in(self)

        @atomic()
        async def delete_and_fail() -> None:
            await submission.adelete()
            raise ZeroDivisionError

        async with self.committed():
            with pytest.raises(ZeroDivisionError):
                await delete_and_fail()
        assert len(self.stored()) == 1
        assert await Submission.objects.acount() == 1

    async def test_files_go_with_their_owner(self) -> None:
        await handed_in(self)
        async with self.committed():
            await get_user_model().objects.filter(username="ann").adelete()
        assert self.stored() == []

    async def test_admin_lists_and_deletes_but_adds_and_changes_nothing(self) -> None:
        submission = await handed_in(self)
        root = await get_user_model().objects.acreate(
            username="root", is_staff=True, is_superuser=True
        )
        await self.async_client.aforce_login(root)
        listing = reverse("admin:homework_submission_changelist")
        self.assertContains(await self.async_client.get(listing), "essay.pdf")
        add = await self.async_client.get(reverse("admin:homework_submission_add"))
        assert add.status_code == 403
        change = reverse("admin:homework_submission_change", args=[submission.id])
        await self.async_client.post(change, {"name": "other.pdf"})
        assert (await Submission.objects.aget()).name == "essay.pdf"
        delete = reverse("admin:homework_submission_delete", args=[submission.id])
        async with self.committed():
            await self.async_client.post(delete, {"post": "yes"})
        assert self.stored() == []


class SweepTests(HomeworkCase):
    def test_stale_parts_are_swept_and_nothing_else(self) -> None:
        folder().mkdir()
        old, new, whole = part_of(uuid4()), part_of(uuid4()), path_of(uuid4())
        hour_ago = time.time() - STALE_SECONDS - 1
        for path in (old, new, whole):
            path.touch()
        for path in (old, whole):
            os.utime(path, (hour_ago, hour_ago))
        assert sweep() == 1
        assert self.stored() == sorted([new.name, whole.name])

    def test_no_folder_yet(self) -> None:
        assert sweep() == 0

    def test_part_that_another_process_has_swept(self) -> None:
        folder().mkdir()
        part = part_of(uuid4())
        part.touch()
        os.utime(part, (0, 0))
        with patch("pathlib.Path.unlink", side_effect=FileNotFoundError) as unlink:
            assert sweep() == 0
        unlink.assert_called_once_with()


class ArrivalTests(HomeworkCase):
    def test_discarded_arrival_writes_no_more(self) -> None:
        arrival = Arrival("essay.pdf")
        arrival.discard()
        arrival.add(samples.PDF)
        assert self.stored() == []

    def test_arrival_that_is_discarded_before_its_renaming_is_gone(self) -> None:
        arrival = Arrival("essay.pdf")
        arrival.add(samples.PDF)
        arrival.finish()
        arrival.discard()
        arrival.keep()
        assert self.stored() == []
        assert not arrival.is_kept

    def test_nothing_is_written_before_the_kind_is_known(self) -> None:
        arrival = Arrival("essay.pdf")
        arrival.add(samples.PDF[:15])
        assert self.stored() == []
        arrival.add(samples.PDF[15:])
        assert self.stored() == [f"{arrival.identity}.part"]
        arrival.discard()
        arrival.discard()
        assert self.stored() == []
