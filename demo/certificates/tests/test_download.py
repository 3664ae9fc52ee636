"""Downloads through django-loom's own handler, which is the one that answers ranges."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx
from django.conf import settings
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import AsyncClient, TestCase

from demo.certificates.issuing import enrolment_of, issue
from demo.certificates.models import Certificate
from django_loom.asgi import get_asgi_application

from .students import make_course, make_student


class DownloadTests(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        course = make_course()
        cls.ann, cls.bob = make_student("ann", course), make_student("bob", course)

    def setUp(self) -> None:
        # As Django's test clients do: a request must not close the test's connection.
        for signal in (request_started, request_finished):
            signal.disconnect(close_old_connections)
            self.addCleanup(signal.connect, close_old_connections)

    async def get(self, user: Any, number: str, method: str = "GET", **headers: str) -> Any:
        """Ask for a certificate, as a user."""
        login = AsyncClient()
        await login.aforce_login(user)
        session = login.cookies[settings.SESSION_COOKIE_NAME].value
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(get_asgi_application()),
            base_url="http://localhost",
            cookies={settings.SESSION_COOKIE_NAME: session},
        ) as client:
            return await client.request(method, f"/certificates/{number}.pdf", headers=named)

    async def issued(self, name: str = "Nguyễn Thị Ánh") -> Certificate:
        enrolment = await enrolment_of(self.ann, "weaving")
        assert enrolment is not None
        return await issue(enrolment, name)

    async def test_the_owner_gets_the_whole_of_it(self) -> None:
        certificate = await self.issued()
        response = await self.get(self.ann, certificate.number)
        assert response.status_code == 200
        assert response.content == certificate.pdf
        assert response.headers["Content-Type"] == "application/pdf"
        assert response.headers["Accept-Ranges"] == "bytes"
        assert response.headers["ETag"] == certificate.etag
        assert (
            response.headers["Content-Disposition"]
            == 'attachment; filename="certificate-weaving.pdf"'
        )

    async def test_ranges_of_separate_requests_make_up_the_whole(self) -> None:
        certificate = await self.issued()
        middle = len(certificate.pdf) // 2
        parts = []
        for wanted in (f"bytes=0-{middle - 1}", f"bytes={middle}-"):
            response = await self.get(
                self.ann, certificate.number, Range=wanted, If_Range=certificate.etag
            )
            assert response.status_code == 206
            parts.append(response.content)
        assert response.headers["Content-Range"] == (
            f"bytes {middle}-{len(certificate.pdf) - 1}/{len(certificate.pdf)}"
        )
        digest = hashlib.sha256(b"".join(parts)).hexdigest()
        assert digest == hashlib.sha256(certificate.pdf).hexdigest()

    async def test_a_range_of_an_older_certificate_gets_the_whole_new_one(self) -> None:
        old = await self.issued("Ann")
        new = await self.issued("Anna")
        response = await self.get(self.ann, old.number, Range="bytes=100-", If_Range=old.etag)
        assert response.status_code == 200
        assert response.content == new.pdf

    async def test_a_range_behind_the_end_cannot_be_had(self) -> None:
        certificate = await self.issued()
        response = await self.get(self.ann, certificate.number, Range="bytes=9999999-")
        assert response.status_code == 416

    async def test_who_has_it_already_is_told_so(self) -> None:
        certificate = await self.issued()
        response = await self.get(self.ann, certificate.number, If_None_Match=certificate.etag)
        assert (response.status_code, response.content) == (304, b"")

    async def test_head_tells_its_length(self) -> None:
        certificate = await self.issued()
        response = await self.get(self.ann, certificate.number, "HEAD")
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["Content-Length"] == str(len(certificate.pdf))

    async def test_to_another_user_it_does_not_exist(self) -> None:
        certificate = await self.issued()
        response = await self.get(self.bob, certificate.number)
        assert response.status_code == 404
        assert b"%PDF" not in response.content
        response = await self.get(self.bob, certificate.number, Range="bytes=0-9")
        assert response.status_code == 404

    async def test_strangers_are_sent_to_log_in(self) -> None:
        certificate = await self.issued()
        response = await self.async_client.get(f"/certificates/{certificate.number}.pdf")
        assert response.status_code == 302
        assert response.headers["Location"].startswith("/accounts/login/")
