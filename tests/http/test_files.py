"""prepare_file: the head of a FileResponse, and which part of its file is to be sent."""

from __future__ import annotations

import gzip
import io
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.middleware.http import ConditionalGetMiddleware
from django.test import RequestFactory
from django.utils.http import http_date, parse_http_date

from django_loom.exceptions import FileUnreadable
from django_loom.http.files import FilePart, prepare_file

CONTENT = bytes(range(256)) * 4
SIZE = len(CONTENT)
MODIFIED = 1_700_000_000
DATE = http_date(MODIFIED)
LATER, EARLIER = http_date(MODIFIED + 1), http_date(MODIFIED - 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "report.pdf"
    path.write_bytes(CONTENT)
    os.utime(path, (MODIFIED, MODIFIED))
    return path


@pytest.fixture
def respond(path: Path) -> Iterator[Callable[..., FileResponse]]:
    """Makes a FileResponse of the file, and closes it after the test."""
    made: list[FileResponse] = []

    def make(file: Any = None, **options: Any) -> FileResponse:
        made.append(FileResponse(path.open("rb") if file is None else file, **options))
        return made[-1]

    yield make
    for response in made:
        response.close()


Respond = Callable[..., FileResponse]


def get(method: str = "GET", **headers: str) -> HttpRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return RequestFactory().generic(method, "/report", headers=named)


def prepare(request: HttpRequest, response: HttpResponseBase) -> FilePart:
    part = prepare_file(request, response)
    assert part is not None
    return part


def limits(part: FilePart) -> tuple[int, int]:
    return part.start, part.length


def through(middleware: Any, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    return middleware(lambda request: response)(request)


class TestWhole:
    def test_a_file_gets_validators_and_all_of_it_is_sent(self, respond: Respond) -> None:
        response = respond()
        assert limits(prepare(get(), response)) == (0, SIZE)
        assert response.status_code == 200
        assert dict(response.items()) == {
            "Content-Length": str(SIZE),
            "Content-Type": "application/pdf",
            "Content-Disposition": 'inline; filename="report.pdf"',
            "Accept-Ranges": "bytes",
            "Last-Modified": DATE,
            "ETag": f'"{MODIFIED * 10**9:x}-{SIZE:x}"',
        }

    def test_the_entity_tag_changes_within_a_second(self, path: Path, respond: Respond) -> None:
        first, second = respond(), respond()
        prepare(get(), first)
        os.utime(path, ns=(0, MODIFIED * 10**9 + 1))
        prepare(get(), second)
        assert first["Last-Modified"] == second["Last-Modified"]
        assert first["ETag"] != second["ETag"]

    def test_a_file_of_the_future_is_of_now(self, path: Path, respond: Respond) -> None:
        os.utime(path, (time.time() + 10**6,) * 2)
        response = respond()
        prepare(get(), response)
        assert parse_http_date(response["Last-Modified"]) <= time.time()

    def test_what_the_view_set_stays(self, respond: Respond) -> None:
        headers = {"ETag": 'W/"mine"', "Last-Modified": EARLIER}
        response = respond(headers=headers)
        prepare(get(), response)
        assert headers.items() <= dict(response.items()).items()

    def test_a_head_has_the_headers_of_a_get_and_no_range(self, respond: Respond) -> None:
        response, answer = respond(), respond()
        prepare(get(), response)
        assert limits(prepare(get("HEAD", Range="bytes=0-1"), answer)) == (0, SIZE)
        assert answer.status_code == 200
        assert answer.headers == response.headers

    @pytest.mark.parametrize(("method", "status"), [("POST", 200), ("GET", 404), ("GET", 206)])
    def test_other_methods_and_statuses_are_sent_as_the_view_made_them(
        self, respond: Respond, method: str, status: int
    ) -> None:
        response = respond(status=status)
        before = dict(response.items())
        request = get(method, Range="bytes=0-1", If_None_Match="*")
        assert limits(prepare(request, response)) == (0, SIZE)
        assert response.status_code == status
        assert dict(response.items()) == before

    def test_a_view_s_own_206_sends_the_length_that_it_promised(self, respond: Respond) -> None:
        response = respond(status=206)
        assert response.file_to_stream is not None
        response.file_to_stream.seek(100)
        response["Content-Length"] = "50"
        response["Content-Range"] = f"bytes 100-149/{SIZE}"
        assert limits(prepare(get(Range="bytes=100-149"), response)) == (100, 50)
        assert response["Content-Range"] == f"bytes 100-149/{SIZE}"

    def test_a_file_is_sent_from_where_it_stands(self, path: Path, respond: Respond) -> None:
        file = path.open("rb")
        file.seek(24)
        response = respond(file)
        part = prepare(get(), response)
        assert limits(part) == (24, SIZE - 24)
        assert file.tell() == 24
        assert not part.may_send_path
        ranged = respond(file)
        assert limits(prepare(get(Range="bytes=-10"), ranged)) == (SIZE - 10, 10)
        assert ranged["Content-Range"] == f"bytes {SIZE - 34}-{SIZE - 25}/{SIZE - 24}"

    def test_other_parts_of_a_file_have_other_entity_tags(
        self, path: Path, respond: Respond
    ) -> None:
        file = path.open("rb")
        file.seek(24)
        whole, rest = respond(), respond(file)
        prepare(get(), whole)
        prepare(get(), rest)
        assert whole["ETag"] != rest["ETag"]

    def test_a_length_that_a_middleware_took_away_is_measured(
        self, path: Path, respond: Respond
    ) -> None:
        file = path.open("rb")
        response = respond(file)
        del response.headers["Content-Length"]
        assert limits(prepare(get(), response)) == (0, SIZE)
        assert response["Content-Length"] == str(SIZE)
        assert file.tell() == 0

    def test_an_encoded_file_stays_as_it_is(self, respond: Respond) -> None:
        response = respond(headers={"Content-Encoding": "br"})
        assert limits(prepare(get(Range="bytes=5-9"), response)) == (5, 5)
        assert response["Content-Encoding"] == "br"


class TestConditions:
    @pytest.mark.parametrize(
        ("name", "value", "status"),
        [
            ("If_None_Match", "*", 304),
            ("If_None_Match", '"other"', 200),
            ("If_Modified_Since", DATE, 304),
            ("If_Modified_Since", LATER, 304),
            ("If_Modified_Since", EARLIER, 200),
            ("If_Match", "*", 200),
            ("If_Match", '"other"', 412),
            ("If_Unmodified_Since", DATE, 200),
            ("If_Unmodified_Since", EARLIER, 412),
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_a_condition_settles_the_status(
        self, respond: Respond, method: str, name: str, value: str, status: int
    ) -> None:
        response = respond()
        part = prepare(get(method, **{name: value}), response)
        assert response.status_code == status
        assert part.length == (SIZE if status == 200 else 0)
        assert not part.may_send_path or status == 200

    def test_its_own_entity_tag_is_not_modified(self, respond: Respond) -> None:
        first, second = respond(), respond()
        prepare(get(), first)
        assert prepare(get(If_None_Match=f"W/{first['ETag']}"), second).length == 0
        assert second.status_code == 304

    def test_304_keeps_what_is_not_about_the_content(self, respond: Respond) -> None:
        headers = {
            "Cache-Control": "max-age=60",
            "Vary": "Cookie",
            "X-Frame-Options": "DENY",
            "Content-Security-Policy": "default-src 'self'",
        }
        response = respond(headers=headers | {"Content-Encoding": "br"})
        response.set_cookie("seen", "yes")
        prepare(get(If_None_Match="*"), response)
        validators = {"ETag": response["ETag"], "Last-Modified": DATE}
        assert dict(response.items()) == headers | validators
        assert response.cookies["seen"].value == "yes"

    def test_412_is_no_answer_to_keep_in_a_cache(self, respond: Respond) -> None:
        headers = {"Cache-Control": "max-age=60", "Expires": LATER, "Vary": "Cookie"}
        response = respond(headers=headers)
        prepare(get(If_Match='"other"'), response)
        assert dict(response.items()) == {"Vary": "Cookie", "Content-Length": "0"}

    def test_conditions_come_before_the_range(self, respond: Respond) -> None:
        response = respond()
        prepare(get(If_None_Match="*", Range="bytes=0-1"), response)
        assert response.status_code == 304
        assert "Content-Range" not in response

    def test_without_validators_there_is_no_condition(self, respond: Respond) -> None:
        response = respond(io.BytesIO(CONTENT))
        request = get(If_Match='"x"', If_None_Match="*", If_Modified_Since=DATE)
        assert limits(prepare(request, response)) == (0, SIZE)
        assert response.status_code == 200


class TestRanges:
    def test_206_keeps_the_headers_of_the_whole(self, respond: Respond) -> None:
        whole, response = (respond(as_attachment=True, filename="år.pdf") for _ in range(2))
        prepare(get(), whole)
        part = prepare(get(Range="bytes=10-19"), response)
        assert limits(part) == (10, 10)
        assert not part.may_send_path
        assert response.status_code == 206
        assert response["Content-Disposition"].startswith("attachment; filename*=utf-8''")
        changed = {"Content-Length": "10", "Content-Range": f"bytes 10-19/{SIZE}"}
        assert dict(response.items()) == dict(whole.items()) | changed

    def test_416_says_how_much_there_is(
        self, respond: Respond, caplog: pytest.LogCaptureFixture
    ) -> None:
        response = respond(headers={"Cache-Control": "max-age=60", "X-Frame-Options": "DENY"})
        with caplog.at_level(logging.WARNING, "django.request"):
            assert prepare(get(Range=f"bytes={SIZE}-"), response).length == 0
        assert response.status_code == 416
        assert dict(response.items()) == {
            "Accept-Ranges": "bytes",
            "Content-Length": "0",
            "Content-Range": f"bytes */{SIZE}",
            "X-Frame-Options": "DENY",
        }
        assert caplog.messages == ["Range Not Satisfiable: /report"]

    @pytest.mark.parametrize("value", ["bytes=0-1,5-6", "bytes=x", "lines=1-2", "bytes=2-1"])
    def test_a_range_that_is_not_served_gets_the_whole(self, respond: Respond, value: str) -> None:
        response = respond()
        assert limits(prepare(get(Range=value), response)) == (0, SIZE)
        assert response.status_code == 200
        assert "Content-Range" not in response

    def test_a_range_of_everything_is_a_206(self, respond: Respond) -> None:
        response = respond()
        assert limits(prepare(get(Range="bytes=0-"), response)) == (0, SIZE)
        assert response.status_code == 206
        assert response["Content-Range"] == f"bytes 0-{SIZE - 1}/{SIZE}"

    def test_an_empty_file(self, path: Path, respond: Respond) -> None:
        path.write_bytes(b"")
        response, ranged = respond(), respond()
        assert limits(prepare(get(), response)) == (0, 0)
        assert response["Content-Length"] == "0"
        assert prepare(get(Range="bytes=0-"), ranged).length == 0
        assert (ranged.status_code, ranged["Content-Range"]) == (416, "bytes */0")

    def test_a_view_may_say_that_it_has_no_ranges(self, respond: Respond) -> None:
        response = respond(headers={"Accept-Ranges": "none"})
        assert limits(prepare(get(Range="bytes=0-1"), response)) == (0, SIZE)
        assert (response.status_code, response["Accept-Ranges"]) == (200, "none")

    def test_if_range_with_the_entity_tag(self, respond: Respond) -> None:
        first, same, other = respond(), respond(), respond()
        prepare(get(), first)
        prepare(get(Range="bytes=0-1", If_Range=first["ETag"]), same)
        prepare(get(Range="bytes=0-1", If_Range='"other"'), other)
        assert (same.status_code, other.status_code) == (206, 200)

    @pytest.mark.parametrize(
        ("value", "status"), [(DATE, 206), (LATER, 200), (EARLIER, 200), ("", 200)]
    )
    def test_if_range_with_a_date(self, respond: Respond, value: str, status: int) -> None:
        response = respond()
        prepare(get(Range="bytes=0-1", If_Range=value), response)
        assert response.status_code == status

    def test_if_range_that_fails_hides_what_would_be_a_416(self, respond: Respond) -> None:
        response = respond()
        prepare(get(Range=f"bytes={SIZE}-", If_Range='"other"'), response)
        assert response.status_code == 200

    def test_a_weak_entity_tag_never_lets_a_range_through(self, respond: Respond) -> None:
        response = respond(headers={"ETag": 'W/"a"'})
        prepare(get(Range="bytes=0-1", If_Range='W/"a"'), response)
        assert response.status_code == 200


class OddFile(File):
    """Reads something else than what it wraps, as files of encrypting storages do."""

    def read(self, size: int = -1) -> bytes:
        return self.file.read(size)[::-1]


def spooled(path: Path) -> tempfile.SpooledTemporaryFile[bytes]:
    file = tempfile.SpooledTemporaryFile()  # noqa: SIM115
    file.write(path.read_bytes())
    file.seek(0)
    return file


class Unseekable(io.BytesIO):
    def seekable(self) -> bool:
        return False


class TestKindsOfFiles:
    @pytest.mark.parametrize(
        "make",
        [
            lambda path: io.BytesIO(CONTENT),
            lambda path: ContentFile(CONTENT, name="report.pdf"),
            lambda path: File(io.BytesIO(CONTENT), name=str(path)),
            lambda path: OddFile(path.open("rb")),
            spooled,
        ],
        ids=["BytesIO", "ContentFile", "File", "OddFile", "SpooledTemporaryFile"],
    )
    def test_what_is_not_a_file_on_disk_has_ranges_and_no_validators(
        self, path: Path, respond: Respond, make: Callable[[Path], Any]
    ) -> None:
        assert not prepare(get(), respond(make(path))).may_send_path
        response = respond(make(path))
        assert limits(prepare(get(Range="bytes=1-2"), response)) == (1, 2)
        assert response.status_code == 206
        assert response["Accept-Ranges"] == "bytes"
        assert not {"ETag", "Last-Modified"} & set(response.headers)

    def test_a_descriptor_does_not_make_a_file_on_disk(
        self, tmp_path: Path, respond: Respond
    ) -> None:
        path = tmp_path / "report.gz"
        path.write_bytes(gzip.compress(CONTENT))
        response = respond(gzip.GzipFile(path))
        part = prepare(get(), response)
        assert limits(part) == (0, SIZE)
        assert not part.may_send_path
        assert "ETag" not in response

    @pytest.mark.parametrize(
        "make",
        [
            lambda path: path.open("rb", buffering=0),
            lambda path: path.open("r+b"),
            lambda path: File(path.open("rb")),
            lambda path: FileSystemStorage(path.parent).open(path.name),
        ],
        ids=["FileIO", "BufferedRandom", "File", "FileSystemStorage"],
    )
    def test_each_kind_of_file_on_disk_has_validators(
        self, path: Path, respond: Respond, make: Callable[[Path], Any]
    ) -> None:
        response = respond(make(path))
        assert prepare(get(), response).may_send_path
        assert response["Last-Modified"] == DATE

    def test_a_model_s_file_is_a_file_on_disk(self, path: Path, respond: Respond) -> None:
        from django.db.models import FileField, Model

        class Report(Model):
            document = FileField(storage=FileSystemStorage(path.parent))

            class Meta:
                app_label = "testapp"
                managed = False

        response = respond(Report(document=path.name).document)
        assert limits(prepare(get(), response)) == (0, SIZE)
        assert response["Last-Modified"] == DATE

    def test_an_upload_on_its_way_back_is_read_and_never_sent_by_path(
        self, respond: Respond
    ) -> None:
        upload = TemporaryUploadedFile("a.bin", "application/octet-stream", 3, None)
        upload.write(b"abc")
        upload.seek(0)
        response = respond(upload)
        assert limits(prepare(get(), response)) == (0, 3)
        assert "ETag" not in response

    def test_devices_have_no_validators(self, respond: Respond) -> None:
        response = respond(File(io.FileIO(os.devnull)))
        assert prepare(get(), response).length == 0
        assert "ETag" not in response

    def test_text_is_sent_like_any_other_content(self, path: Path, respond: Respond) -> None:
        for file in (io.StringIO("text"), ContentFile("text"), path.open(encoding="latin1")):
            response = respond(file)
            assert prepare_file(get(Range="bytes=0-1"), response) is None
            assert response.status_code == 200

    def test_what_cannot_seek_is_sent_like_any_other_content(self, respond: Respond) -> None:
        assert prepare_file(get(Range="bytes=0-1"), respond(Unseekable(CONTENT))) is None

    @pytest.mark.parametrize(
        "response",
        [
            HttpResponse(b"x"),
            StreamingHttpResponse([b"x"]),
            FileResponse([b"x"]),
        ],
        ids=["HttpResponse", "StreamingHttpResponse", "FileResponse of a list"],
    )
    def test_other_responses_are_left_alone(self, response: HttpResponseBase) -> None:
        before = dict(response.items())
        assert prepare_file(get(Range="bytes=0-1", If_None_Match="*"), response) is None
        assert dict(response.items()) == before

    def test_a_closed_file_is_an_error_while_there_is_time_for_a_500(
        self, respond: Respond, path: Path
    ) -> None:
        with path.open("rb") as file:
            response = respond(file)
        with pytest.raises(FileUnreadable, match=r"report\.pdf is closed.*without a with block"):
            prepare_file(get(), response)
        assert prepare_file(get("HEAD"), response) is None


class TestSendingByPath:
    def test_a_plain_response_may_be_sent_by_path(self, respond: Respond) -> None:
        request, response = get(), respond()
        response._resource_closers.append(request.close)  # as Django's handler does
        assert prepare(request, response).may_send_path

    def test_not_if_closing_the_response_may_delete_the_file(
        self, respond: Respond, path: Path
    ) -> None:
        response = respond()
        response._resource_closers.append(path.unlink)
        assert not prepare(get(), response).may_send_path

    def test_not_if_the_response_closes_in_its_own_way(self, path: Path) -> None:
        class Deleting(FileResponse):
            def close(self) -> None:
                super().close()
                path.unlink()

        response = Deleting(path.open("rb"))
        assert not prepare(get(), response).may_send_path
        response.close()

    def test_not_if_the_file_closes_in_its_own_way(self, respond: Respond, path: Path) -> None:
        class Deleting(File):
            def close(self) -> None:
                super().close()
                path.unlink()

        response = respond(File(Deleting(path.open("rb"))))
        assert not prepare(get(), response).may_send_path
        assert response["Last-Modified"] == DATE


class TestMiddleware:
    def test_what_gzip_replaced_is_no_file_any_more(self, respond: Respond) -> None:
        request = get(Accept_Encoding="gzip", Range="bytes=0-1", If_None_Match="*")
        response = through(GZipMiddleware, request, respond())
        before = dict(response.items())
        assert prepare_file(request, response) is None
        assert dict(response.items()) == before
        assert gzip.decompress(b"".join(response)) == CONTENT  # type: ignore[arg-type]

    def test_what_gzip_left_alone_is_a_file_with_its_vary(self, respond: Respond) -> None:
        request = get(Range="bytes=0-1")
        response = through(GZipMiddleware, request, respond())
        assert limits(prepare(request, response)) == (0, 2)
        assert (response.status_code, response["Vary"]) == (206, "Accept-Encoding")

    def test_conditional_get_leaves_what_has_no_validator_to_us(self, respond: Respond) -> None:
        first, second = respond(), respond()
        prepare(get(), first)
        request = get(If_None_Match=first["ETag"])
        response = through(ConditionalGetMiddleware, request, second)
        prepare(request, response)
        assert response.status_code == 304

    def test_conditional_get_s_own_304_is_left_alone(self, respond: Respond) -> None:
        request = get(If_None_Match='"mine"', Range="bytes=0-1")
        response = respond(headers={"ETag": '"mine"'})
        answer = through(ConditionalGetMiddleware, request, response)
        assert answer.status_code == 304
        assert prepare_file(request, answer) is None
        assert "Last-Modified" not in answer

    def test_a_view_s_entity_tag_serves_conditions_and_if_range(self, respond: Respond) -> None:
        request = get(If_Match='"mine"', If_Range='"mine"', Range="bytes=0-1")
        response = respond(headers={"ETag": '"mine"'})
        response = through(ConditionalGetMiddleware, request, response)
        prepare(request, response)
        assert (response.status_code, response["ETag"]) == (206, '"mine"')
