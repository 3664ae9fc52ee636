"""What is not taken: a clear message, and no file left behind."""

from __future__ import annotations

import errno
from typing import Any
from unittest.mock import patch

import pytest
from django.core.exceptions import BadRequest, RequestDataTooBig
from django.core.files.uploadedfile import SimpleUploadedFile

from demo.homework import receiving
from demo.homework.arrivals import Arrival
from demo.homework.models import Submission

from . import samples
from .cases import END, HomeworkCase, part

FULL = OSError(errno.ENOSPC, "No space left on device")


class RefusalTests(HomeworkCase):
    async def test_no_file_at_all(self) -> None:
        for body in (END, part("other", b"text") + END, b""):
            with self.subTest(body=body):
                await self.assert_refused(await self.post_raw(body), 400, "Choose a file first")

    async def test_file_that_was_not_chosen(self) -> None:
        body = part("file", b"", filename="") + END
        await self.assert_refused(await self.post_raw(body), 400, "Choose a file first")

    async def test_name_that_is_only_a_folder(self) -> None:
        for name in ("..", "../..", "/"):
            body = part("file", samples.PDF, filename=name) + END
            await self.assert_refused(await self.post_raw(body), 400, "Choose a file first")

    async def test_empty_file(self) -> None:
        body = part("file", b"", filename="essay.pdf") + END
        await self.assert_refused(await self.post_raw(body), 400, "This file is empty")

    async def test_wrong_kind(self) -> None:
        response = await self.hand_in(samples.PROGRAM, name="essay.pdf")
        await self.assert_refused(response, 415, "This kind of file is not taken")

    async def test_text_that_turns_out_to_be_none_after_it_was_begun(self) -> None:
        response = await self.hand_in(b"text " * 100_000 + b"\x00", name="essay.txt")
        await self.assert_refused(response, 415, "This kind of file is not taken")

    async def test_archive_without_its_end(self) -> None:
        response = await self.hand_in(samples.DOCX[:-30], name="essay.docx")
        await self.assert_refused(response, 415, "its end is missing")

    async def test_two_files_in_one_form(self) -> None:
        file = part("file", samples.PDF, filename="essay.pdf")
        await self.assert_refused(await self.post_raw(file + file + END), 400, "one file at a time")

    async def test_file_in_another_field(self) -> None:
        form = {"picture": SimpleUploadedFile("a.png", samples.PNG)}
        await self.assert_refused(await self.post(form), 400, "one file at a time")

    async def test_form_that_ends_within_the_file(self) -> None:
        whole = part("file", samples.PDF, filename="essay.pdf") + END
        await self.assert_refused(await self.post_raw(whole[: -len(END) - 9]), 400, "broken")

    async def test_form_that_is_none(self) -> None:
        for content_type in ("multipart/form-data", f"multipart/form-data; boundary={'x' * 202}"):
            response = await self.post(b"not a form", content_type=content_type)
            await self.assert_refused(response, 400, "broken")

    async def test_body_that_is_no_form_of_files(self) -> None:
        response = await self.post(b"{}", content_type="application/json")
        await self.assert_refused(response, 400, "Choose a file first")

    async def test_coded_content_that_is_broken(self) -> None:
        head = (
            b'--limit\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n'
            b"Content-Transfer-Encoding: base64\r\n\r\n"
        )
        await self.assert_refused(await self.post_raw(head + b"!!!!!\r\n" + END), 400, "broken")

    async def test_too_many_fields(self) -> None:
        fields = b"".join(part(f"field-{number}", b"") for number in range(1010))
        await self.assert_refused(await self.post_raw(fields + END), 400, "broken")

    async def test_page_for_those_without_the_script_says_it_too(self) -> None:
        response = await self.hand_in(samples.PROGRAM, page=True)
        self.assertContains(response, "This kind of file is not taken", status_code=415)
        self.assertContains(response, 'aria-invalid="true"', status_code=415)
        assert self.stored() == []


class LimitTests(HomeworkCase):
    async def test_name_that_the_student_has_already(self) -> None:
        await self.hand_in()
        response = await self.hand_in(samples.PNG)
        assert response.status_code == 409
        assert "essay.pdf already" in response.json()["message"]
        assert (await Submission.objects.aget()).path.read_bytes() == samples.PDF
        assert len(self.stored()) == 1

    async def test_quota(self) -> None:
        with patch.object(receiving, "MOST_FILES", 2):
            for number in range(2):
                assert (await self.hand_in(name=f"{number}.pdf")).status_code == 201
            response = await self.hand_in(name="third.pdf")
        assert response.status_code == 409
        assert "You have handed in 2 of 2 files" in response.json()["message"]
        assert len(self.stored()) == 2

    async def test_what_the_server_refuses_while_the_body_arrives(self) -> None:
        cases = [(RequestDataTooBig(), 413, "is too large. 200.0"), (BadRequest(), 408, "slowly")]
        for error, status, message in cases:
            with self.subTest(status=status), patch.object(Arrival, "add", side_effect=error):
                await self.assert_refused(await self.hand_in(), status, message)


class UploadsAtOnceTests(HomeworkCase):
    """What another upload has done between the first look and the last."""

    async def test_quota_is_looked_at_again(self) -> None:
        await self.hand_in(name="first.pdf")
        with patch.object(receiving, "MOST_FILES", 1), patch.object(receiving, "_refuse_full"):
            response = await self.hand_in(name="second.pdf")
        assert response.status_code == 409
        assert "You have handed in 1 of 1 files" in response.json()["message"]
        assert len(self.stored()) == 1

    async def test_name_is_looked_at_again(self) -> None:
        await self.hand_in()
        with patch.object(receiving, "_name_check", lambda owner: lambda name: None):
            response = await self.hand_in(samples.PNG)
        assert response.status_code == 409
        assert "essay.pdf already" in response.json()["message"]
        assert (await Submission.objects.aget()).path.read_bytes() == samples.PDF
        assert len(self.stored()) == 1


class FullDiskTests(HomeworkCase):
    async def fill(self, step: str) -> None:
        with patch.object(Arrival, step, side_effect=FULL):
            await self.assert_refused(await self.hand_in(), 507, "could not store the file")

    async def test_in_each_step(self) -> None:
        for step in ("add", "finish", "keep"):
            with self.subTest(step=step):
                await self.fill(step)

    async def test_in_the_middle_of_the_file(self) -> None:
        store = Arrival._store

        def fail_later(arrival: Arrival, content: bytes) -> None:
            store(arrival, content)
            if arrival.size > 100_000:
                raise FULL

        with patch.object(Arrival, "_store", fail_later):
            response = await self.hand_in(samples.PDF + bytes(500_000))
        await self.assert_refused(response, 507, "could not store the file")


class ProgrammingErrorTests(HomeworkCase):
    async def test_error_of_our_own_leaves_no_file_either(self) -> None:
        async def fail(*args: Any) -> None:
            raise ZeroDivisionError

        patched = patch.object(receiving, "_refuse_overfull", fail)
        with patched, pytest.raises(ZeroDivisionError):
            await self.hand_in()
        assert self.stored() == []
        assert await Submission.objects.acount() == 0

    async def test_error_after_the_commit_leaves_the_file_with_its_row(self) -> None:
        keep = receiving._keep

        async def fail_late(*args: Any) -> None:
            await keep(*args)
            raise ZeroDivisionError

        with patch.object(receiving, "_keep", fail_late), pytest.raises(ZeroDivisionError):
            await self.hand_in()
        assert self.stored() == [str((await Submission.objects.aget()).id)]
