"""The pages of certificates, through Django's async client."""

from __future__ import annotations

from io import BytesIO

from django.test import AsyncClient, TestCase
from pypdf import PdfReader

from demo.certificates.models import Certificate

from .students import make_course, make_student

PAGE = "/certificates/weaving/"


class PageTests(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        cls.course = make_course()
        cls.other_course = make_course("other")
        cls.ann = make_student("ann", cls.course, first_name="Ann", last_name="Weaver")
        cls.bob = make_student("bob", cls.course)

    async def issue(self, name: str) -> Certificate:
        response = await self.async_client.post(PAGE, {"name": name}, follow=True)
        self.assertContains(response, f"The certificate is made out to {name}.")
        return await Certificate.objects.aget(enrolment__user=self.ann)

    async def test_strangers_see_what_there_is_and_log_in(self) -> None:
        response = await self.async_client.get("/certificates/")
        self.assertContains(response, "/accounts/login/?next=/certificates/")
        response = await self.async_client.get(PAGE)
        self.assertRedirects(
            response, f"/accounts/login/?next={PAGE}", fetch_redirect_response=False
        )

    async def test_a_student_gets_a_certificate(self) -> None:
        await self.async_client.aforce_login(self.ann)
        self.assertContains(await self.async_client.get("/certificates/"), "Not issued yet")
        self.assertContains(await self.async_client.get(PAGE), 'value="Ann Weaver"')
        certificate = await self.issue("Ann Weaver")
        self.assertContains(await self.async_client.get("/certificates/"), "Ann Weaver")
        response = await self.async_client.get(PAGE)
        self.assertContains(response, f"/certificates/{certificate.number}.pdf")

    async def test_each_script_is_in_the_pdf(self) -> None:
        await self.async_client.aforce_login(self.ann)
        for name in ("Ann Weaver", "Nguyễn Thị Ánh", "Анна Каренина"):
            with self.subTest(name):
                certificate = await self.issue(name)
                text = PdfReader(BytesIO(certificate.pdf)).pages[0].extract_text()
                assert name in text
                assert self.course.title in text

    async def test_another_name_changes_the_certificate_and_keeps_its_number(self) -> None:
        await self.async_client.aforce_login(self.ann)
        first = await self.issue("Ann Weaver")
        same = await self.issue("Ann Weaver")
        assert (same.pdf, same.issued) == (first.pdf, first.issued)
        changed = await self.issue("Ánh")
        assert changed.number == first.number
        assert changed.pdf != first.pdf
        assert changed.etag != first.etag

    async def test_hostile_names_get_a_message_beside_the_field(self) -> None:
        await self.async_client.aforce_login(self.ann)
        for name, message in {
            "": "Write the name that the certificate is made out to.",
            "x" * 81: "80 characters at most; these are 81.",
            "x" * 100_000: "80 characters at most; these are 100000.",
            "Ann\0": "Null characters are not allowed.",
            "Ann\u202eevil": "U+202E",
            "שרה": "can&#x27;t show",
            "🎉": "can&#x27;t show",
            "<script>": "<script>",
        }.items():
            with self.subTest(name[:20]):
                response = await self.async_client.post(PAGE, {"name": name})
                if name == "<script>":  # text like any other, shown as text
                    response = await self.async_client.get(PAGE)
                    self.assertContains(response, "<dd>&lt;script&gt;</dd>")
                    continue
                self.assertContains(response, message, status_code=422)
                self.assertContains(response, 'aria-invalid="true"', status_code=422)

    async def test_an_account_with_a_name_that_cannot_be_printed_may_write_another(self) -> None:
        self.ann.first_name, self.ann.last_name = "王", "\u202e"
        await self.ann.asave()
        await self.async_client.aforce_login(self.ann)
        self.assertContains(await self.async_client.get(PAGE), "王")
        response = await self.async_client.post(PAGE, {"name": self.ann.get_full_name()})
        self.assertContains(response, "show: 王.", status_code=422)
        assert (await self.issue("Wang")).name == "Wang"

    async def test_who_is_not_enrolled_is_sent_to_the_course(self) -> None:
        await self.async_client.aforce_login(self.ann)
        response = await self.async_client.get("/certificates/other/", follow=True)
        self.assertRedirects(response, "/books/courses/other/")
        self.assertContains(response, "when you are enrolled")
        assert (await self.async_client.get("/certificates/none/")).status_code == 404

    async def test_another_site_cannot_change_the_name(self) -> None:
        client = AsyncClient(enforce_csrf_checks=True)
        await client.aforce_login(self.ann)
        assert (await client.post(PAGE, {"name": "Eve"})).status_code == 403

    async def test_the_admin_shows_certificates_and_changes_none(self) -> None:
        await self.async_client.aforce_login(self.ann)
        certificate = await self.issue("Ann Weaver")
        self.bob.is_staff = self.bob.is_superuser = True
        await self.bob.asave()
        await self.async_client.aforce_login(self.bob)
        path = "/admin/certificates/certificate/"
        response = await self.async_client.get(path, {"q": certificate.number})
        self.assertContains(response, "Ann Weaver")
        response = await self.async_client.get(f"{path}{certificate.pk}/change/")
        self.assertNotContains(response, 'name="_save"')
        assert (await self.async_client.get(f"{path}add/")).status_code == 403
