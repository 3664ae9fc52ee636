"""Handing in what is taken."""

from __future__ import annotations

import threading
from typing import Any
from unittest.mock import patch

from django.test import AsyncClient
from django.urls import reverse

from demo.homework.arrivals import Arrival
from demo.homework.folder import folder
from demo.homework.kinds import Kind
from demo.homework.models import Submission
from demo.homework.names import LONGEST

from . import samples
from .cases import END, HAND_IN, HomeworkCase, part

INDEX = reverse("homework:index")


class HandInTests(HomeworkCase):
    async def test_file_is_stored_under_a_name_of_the_servers_own(self) -> None:
        response = await self.hand_in()
        assert response.status_code == 201
        assert response.json() == {"message": "essay.pdf is handed in."}
        submission = await Submission.objects.aget()
        assert submission.path.read_bytes() == samples.PDF
        assert self.stored() == [str(submission.id)]
        assert (submission.name, submission.kind, submission.size, submission.owner_id) == (
            "essay.pdf",
            Kind.PDF,
            len(samples.PDF),
            self.ann.pk,
        )

    async def test_form_without_the_script_leads_back_to_the_page_which_says_so(self) -> None:
        response = await self.hand_in(page=True, follow=True)
        self.assertRedirects(response, INDEX)
        self.assertContains(response, "essay.pdf is handed in.")

    async def test_content_decides_whatever_name_and_type_claim(self) -> None:
        await self.hand_in(samples.PNG, name="essay.pdf")
        await self.hand_in(samples.DOCX, name="drawing.png")
        kinds = [each.kind async for each in Submission.objects.order_by("handed_in")]
        assert kinds == [Kind.PNG, Kind.DOCX]

    async def test_file_of_many_pieces_is_whole(self) -> None:
        content = bytes(range(256)) * 4096
        await self.hand_in(samples.PDF + content)
        submission = await Submission.objects.aget()
        assert submission.path.read_bytes() == samples.PDF + content
        assert submission.size == len(samples.PDF + content)

    async def test_disk_is_never_waited_for_on_the_loop(self) -> None:
        loop = threading.get_ident()
        waiting: list[tuple[str, bool]] = []

        def noting(step: str) -> Any:
            original = getattr(Arrival, step)

            def noted(*args: Any) -> None:
                waiting.append((step, threading.get_ident() == loop))
                original(*args)

            return patch.object(Arrival, step, noted)

        with noting("add"), noting("finish"), noting("keep"):
            await self.hand_in()
        assert waiting == [("add", False), ("finish", False), ("keep", False)]

    async def test_path_in_a_name_leads_nowhere(self) -> None:
        hostile = ["../../etc/passwd", "..\\..\\windows\\system.ini", "/etc/cron.d/job", "a/../b"]
        for name in hostile:
            body = part("file", samples.TEXT, filename=name) + END
            assert (await self.post_raw(body)).status_code == 201
        submissions = [each async for each in Submission.objects.all()]
        assert self.stored() == sorted(str(each.id) for each in submissions)
        names = {each.name for each in submissions}
        assert names == {"passwd", "system.ini", "job", "b"}
        assert all(each.path.parent == folder() for each in submissions)

    async def test_long_name_is_shortened_and_keeps_its_suffix(self) -> None:
        await self.hand_in(name=f"{'long ' * 60}essay.pdf")
        name = (await Submission.objects.aget()).name
        assert len(name) == LONGEST
        assert name.endswith("….pdf")

    async def test_name_is_text_in_the_page(self) -> None:
        await self.hand_in(name="<img src=x onerror=alert(1)>&amp;.pdf")
        page = (await self.async_client.get(INDEX)).content.decode()
        assert "<img src=x" not in page
        assert "&lt;img src=x onerror=alert(1)&gt;&amp;.pdf" in page

    async def test_name_loses_what_turns_the_direction_of_writing(self) -> None:
        await self.hand_in(name="essay\u202efdp.exe")
        assert (await Submission.objects.aget()).name == "essayfdp.exe"

    async def test_students_see_their_own_files_only(self) -> None:
        await self.hand_in()
        await self.async_client.aforce_login(self.bob)
        for name in ("homework:index", "homework:files"):
            self.assertNotContains(await self.async_client.get(reverse(name)), "essay.pdf")

    async def test_two_students_may_have_files_of_the_same_name(self) -> None:
        await self.hand_in()
        await self.async_client.aforce_login(self.bob)
        assert (await self.hand_in()).status_code == 201
        assert len(self.stored()) == 2


class CsrfTests(HomeworkCase):
    def setUp(self) -> None:
        super().setUp()
        self.strict = AsyncClient(enforce_csrf_checks=True)
        self.strict.force_login(self.ann)

    async def token(self) -> str:
        """A token that the page has in its form."""
        page = await self.strict.get(INDEX)
        return str(page.context["csrf_token"])

    async def test_token_in_the_header_passes(self) -> None:
        response = await self.hand_in(
            client=self.strict, headers={"x-csrftoken": await self.token()}
        )
        assert response.status_code == 201

    async def test_token_in_the_form_passes_and_the_file_is_not_stored_twice(self) -> None:
        fields = part("csrfmiddlewaretoken", (await self.token()).encode())
        body = fields + part("file", samples.PDF, filename="essay.pdf") + END
        response = await self.post_raw(body, client=self.strict)
        assert response.status_code == 201
        assert self.stored() == [str((await Submission.objects.aget()).id)]

    async def test_no_token_and_a_wrong_one_are_refused_and_leave_nothing(self) -> None:
        message = "This page is out of date"
        await self.assert_refused(await self.hand_in(client=self.strict), 403, message)
        wrong = {"x-csrftoken": "a" * 32}
        response = await self.hand_in(client=self.strict, headers=wrong)
        await self.assert_refused(response, 403, message)

    async def test_deleting_needs_a_token(self) -> None:
        await self.hand_in()
        submission = await Submission.objects.aget()
        delete = reverse("homework:delete", args=[submission.id])
        assert (await self.strict.post(delete)).status_code == 403
        form = {"csrfmiddlewaretoken": await self.token()}
        assert (await self.strict.post(delete, form)).status_code == 302


class LoginTests(HomeworkCase):
    async def test_every_page_asks_for_a_login(self) -> None:
        await self.async_client.alogout()
        for name in ("homework:index", "homework:files"):
            response = await self.async_client.get(reverse(name))
            self.assertRedirects(
                response, f"/accounts/login/?next={reverse(name)}", fetch_redirect_response=False
            )

    async def test_upload_without_a_login_is_refused(self) -> None:
        await self.async_client.alogout()
        await self.assert_refused(await self.hand_in(), 401, "You are not logged in")
        response = await self.hand_in(page=True)
        self.assertRedirects(
            response, f"/accounts/login/?next={INDEX}", fetch_redirect_response=False
        )

    async def test_address_of_the_form_takes_nothing_but_post(self) -> None:
        assert (await self.async_client.get(HAND_IN)).status_code == 405
