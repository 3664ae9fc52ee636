"""Django REST framework, whose views are synchronous, in threads and on the loop."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rest_framework
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connections
from django.test import modify_settings, override_settings
from django.urls import include, path
from rest_framework import generics, parsers, routers, serializers, viewsets
from rest_framework.authentication import BasicAuthentication, SessionAuthentication
from rest_framework.decorators import action, api_view
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.permissions import IsAuthenticated, IsAuthenticatedOrReadOnly
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import AnonRateThrottle
from rest_framework.views import APIView

from django_loom import in_thread, on_loop
from django_loom.asgi import get_asgi_application
from tests.http.client import Answer, Browser
from tests.loops import LoopRunner
from tests.testapp.models import Author, Book, Tag

pytestmark = pytest.mark.usefixtures("db_tables")

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".cache" / "rest_framework"
# Those of DRF's own that send most of the requests.
OWN_TESTS = [
    "authentication",
    "browsable_api",
    "test_atomic_requests",
    "test_htmlrenderer",
    "test_middleware",
    "test_renderers",
    "test_routers",
    "test_testing",
    "test_throttling",
    "test_viewsets",
]


class BookSerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    author_name = serializers.CharField(source="author.name", read_only=True)
    tags = serializers.SlugRelatedField(
        slug_field="name", queryset=Tag.objects.all(), many=True, required=False
    )

    class Meta:
        model = Book
        fields = ["id", "title", "price", "author", "author_name", "tags"]


class AuthorSerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    books = BookSerializer(many=True, read_only=True)

    class Meta:
        model = Author
        fields = ["id", "name", "born", "books"]

    def validate_name(self, name: str) -> str:
        if Author.objects.filter(name__iexact=name).exists():
            raise ValidationError("Somebody has this name.")
        return name


class Pages(PageNumberPagination):
    page_size = 2


class AuthorViewSet(viewsets.ModelViewSet):  # type: ignore[type-arg]
    queryset = Author.objects.order_by("pk")
    serializer_class = AuthorSerializer
    pagination_class = Pages

    @action(detail=True, methods=["post"])
    def rename(self, request: Request, pk: str) -> Response:
        author = self.get_object()
        author.name = request.data["name"]
        author.save()
        return Response({"name": author.name, "thread": on_a_thread()})


class Books(generics.ListCreateAPIView):  # type: ignore[type-arg]
    queryset = Book.objects.select_related("author")
    serializer_class = BookSerializer
    authentication_classes = [SessionAuthentication, BasicAuthentication]
    permission_classes = [IsAuthenticatedOrReadOnly]


class WhoAmI(APIView):
    authentication_classes = [BasicAuthentication]
    permission_classes = [IsAuthenticated]

    def get(self, request: Request) -> Response:
        return Response({"user": request.user.username, "thread": on_a_thread()})


class TwoADay(AnonRateThrottle):
    rate = "2/day"


class Throttled(APIView):
    throttle_classes = [TwoADay]

    def get(self, request: Request) -> Response:
        return Response({})


class Upload(APIView):
    parser_classes = [parsers.MultiPartParser, parsers.FileUploadParser]

    def put(self, request: Request, filename: str) -> Response:
        file = request.data["file"]
        return Response({"name": file.name, "size": file.size, "first": file.read(3).decode()})

    post = put


class Failing(APIView):
    def post(self, request: Request) -> Response:
        Author.objects.create(name=request.data["name"])
        raise ValidationError({"name": ["No."]})


class Place(APIView):
    def get(self, request: Request) -> Response:
        return Response(on_a_thread())


class OnLoop(Place):
    pass


class InThread(Place):
    pass


OnLoop = on_loop(OnLoop)  # type: ignore[misc]
InThread = in_thread(InThread)  # type: ignore[misc]


@api_view(["GET", "POST"])
def echo(request: Request) -> Response:
    return Response(
        {"data": request.data, "query": request.query_params, "user": str(request.user)}
    )


def on_a_thread() -> bool:
    return threading.current_thread() is not threading.main_thread()


router = routers.DefaultRouter()
router.register("authors", AuthorViewSet)
urlpatterns = [
    path("api/", include(router.urls)),
    path("placed/", on_loop(include((router.urls, "placed")))),
    path("books/", Books.as_view()),
    path("who/", WhoAmI.as_view()),
    path("throttled/", Throttled.as_view()),
    path("upload/<str:filename>", Upload.as_view()),
    path("failing/", Failing.as_view()),
    path("echo/", echo),
    path("place/", Place.as_view()),
    path("place/loop/", OnLoop.as_view()),
    path("place/thread/", InThread.as_view()),
]


@pytest.fixture(params=["thread", "loop"], autouse=True)
def mode(request: pytest.FixtureRequest) -> Iterator[str]:
    cache.clear()
    with (
        modify_settings(INSTALLED_APPS={"append": "rest_framework"}),
        override_settings(
            ROOT_URLCONF=__name__,
            ALLOWED_HOSTS=["testserver"],
            MIDDLEWARE=[
                "django.contrib.sessions.middleware.SessionMiddleware",
                "django.middleware.common.CommonMiddleware",
                "django.middleware.csrf.CsrfViewMiddleware",
                "django.contrib.auth.middleware.AuthenticationMiddleware",
            ],
            TEMPLATES=[
                {
                    "BACKEND": "django.template.backends.django.DjangoTemplates",
                    "APP_DIRS": True,
                    "OPTIONS": {
                        "context_processors": ["django.template.context_processors.request"]
                    },
                }
            ],
            STATIC_URL="/static/",
            LOOM={"SYNC_VIEWS": request.param},
        ),
    ):
        yield request.param


def data(answer: Answer) -> Any:
    return json.loads(answer.body)


def basic(name: str, password: str = "secret") -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


async def send(method: str, url: str, content: Any = None, **headers: str) -> Answer:
    body = b"" if content is None else json.dumps(content).encode()
    browser = Browser(get_asgi_application())
    return await browser.send(method, url, body, "application/json" if body else "", headers)


def test_a_viewset_behind_a_router(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        root = await send("GET", "/api/")
        assert data(root) == {"authors": "http://testserver/api/authors/"}
        created = await send("POST", "/api/authors/", {"name": "Ann", "born": "1900-01-02"})
        assert created.status == 201
        pk = data(created)["id"]
        url = f"/api/authors/{pk}/"
        assert data(created) == {"id": pk, "name": "Ann", "born": "1900-01-02", "books": []}
        assert data(await send("PATCH", url, {"born": "1901-01-01"}))["born"] == "1901-01-01"
        assert data(await send("PUT", url, {"name": "Bob"}))["name"] == "Bob"
        assert data(await send("POST", f"{url}rename/", {"name": "Cy"}))["name"] == "Cy"
        assert data(await send("GET", url))["name"] == "Cy"
        assert (await send("DELETE", url)).status == 204
        assert (await send("GET", url)).status == 404
        assert (await send("PATCH", "/api/authors/")).status == 405
        assert (await send("OPTIONS", "/api/authors/")).status == 200

    loop_runner(main)


def test_validation_errors(loop_runner: LoopRunner) -> None:
    Author.objects.create(name="Ann")

    async def main() -> None:
        answer = await send("POST", "/api/authors/", {"name": "ANN", "born": "never"})
        assert answer.status == 400
        assert data(answer)["name"] == ["Somebody has this name."]
        assert "wrong format" in data(answer)["born"][0]
        assert "required" in data(await send("POST", "/api/authors/", {}))["name"][0]
        browser = Browser(get_asgi_application())
        malformed = await browser.send("POST", "/api/authors/", b"{", "application/json")
        assert "JSON parse error" in data(malformed)["detail"]
        unknown = await browser.send("POST", "/api/authors/", b"x", "text/x-unknown")
        assert unknown.status == 415

    loop_runner(main)


def test_pages_and_relations(loop_runner: LoopRunner) -> None:
    good = Tag.objects.create(name="good")
    for name in "ABCDE":
        author = Author.objects.create(name=name)
        Book.objects.create(title=f"{name}1", author=author).tags.add(good)

    async def main() -> None:
        first = data(await send("GET", "/api/authors/"))
        assert (first["count"], first["previous"]) == (5, None)
        names = [author["name"] for author in first["results"]]
        assert first["results"][0]["books"][0]["tags"] == ["good"]
        following = first["next"]
        while following:
            page = data(await send("GET", following.removeprefix("http://testserver")))
            names += [author["name"] for author in page["results"]]
            following = page["next"]
        assert names == list("ABCDE")
        assert (await send("GET", "/api/authors/?page=9")).status == 404

    loop_runner(main)


def test_authentication_and_permissions(loop_runner: LoopRunner, mode: str) -> None:
    User.objects.create_user("ann", password="secret")
    author = Author.objects.create(name="Bob")
    book = {"title": "One", "author": author.pk, "tags": []}

    async def main() -> None:
        refused = await send("GET", "/who/")
        assert (refused.status, refused.headers["www-authenticate"]) == (401, 'Basic realm="api"')
        wrong = await send("GET", "/who/", **basic("ann", "wrong"))
        assert data(wrong)["detail"] == "Invalid username/password."
        shown = data(await send("GET", "/who/", **basic("ann")))
        assert shown == {"user": "ann", "thread": mode == "thread"}
        assert (await send("GET", "/books/")).status == 200
        assert (await send("POST", "/books/", book)).status == 403
        created = await send("POST", "/books/", book, **basic("ann"))
        assert (created.status, data(created)["author_name"]) == (201, "Bob")

    loop_runner(main)


def test_users_of_concurrent_requests_are_apart(loop_runner: LoopRunner) -> None:
    names = [f"user{number}" for number in range(10)]
    for name in names:
        User.objects.create_user(name, password="secret")

    async def main() -> None:
        answers = await asyncio.gather(*(send("GET", "/who/", **basic(name)) for name in names * 2))
        assert [data(answer)["user"] for answer in answers] == names * 2

    loop_runner(main)


def test_throttling(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        answers = [await send("GET", "/throttled/") for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert int(answers[2].headers["retry-after"]) > 80_000

    loop_runner(main)


def test_uploads(loop_runner: LoopRunner) -> None:
    content = b"abc" * 200_000

    async def main() -> None:
        browser = Browser(get_asgi_application())
        expected = {"name": "a.bin", "size": len(content), "first": "abc"}
        raw = await browser.send("PUT", "/upload/a.bin", content, "application/octet-stream")
        assert data(raw) == expected
        file = io.BytesIO(content)
        file.name = "a.bin"
        form = await browser.post("/upload/x", {"file": file})
        assert data(form) == expected

    loop_runner(main)


def test_function_views_parse_what_comes(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        answer = data(await send("POST", "/echo/?a=1", {"b": [1, None]}))
        assert answer == {"data": {"b": [1, None]}, "query": {"a": "1"}, "user": "AnonymousUser"}
        browser = Browser(get_asgi_application())
        form = await browser.send("POST", "/echo/", b"b=1&b=2", "application/x-www-form-urlencoded")
        assert data(form)["data"] == {"b": "2"}
        assert (await send("GET", "/echo/", accept="text/unknown")).status == 406

    loop_runner(main)


def test_an_error_ends_the_transaction_of_the_request(
    loop_runner: LoopRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DRF answers the error itself, and so sets the rollback itself."""
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)

    async def main() -> None:
        answer = await send("POST", "/failing/", {"name": "Ann"})
        assert (answer.status, data(answer)) == (400, {"name": ["No."]})
        assert await Author.objects.acount() == 0

    loop_runner(main)


def test_the_browsable_api(loop_runner: LoopRunner) -> None:
    Author.objects.create(name="Ann")

    async def main() -> None:
        page = await send("GET", "/api/authors/", accept="text/html")
        assert page.status == 200
        assert page.headers["content-type"].startswith("text/html")
        assert "Author List" in page.text
        assert "&quot;Ann&quot;" in page.text
        assert 'name="born"' in page.text
        invalid = await Browser(get_asgi_application()).send(
            "POST",
            "/api/authors/",
            b"name=&born=",
            "application/x-www-form-urlencoded",
            {"accept": "text/html"},
        )
        assert (invalid.status, "may not be blank" in invalid.text) == (400, True)

    loop_runner(main)


def test_marks(loop_runner: LoopRunner, mode: str) -> None:
    author = Author.objects.create(name="Ann")

    async def main() -> None:
        assert data(await send("GET", "/place/")) is (mode == "thread")
        assert data(await send("GET", "/place/loop/")) is False
        assert data(await send("GET", "/place/thread/")) is True
        for prefix, thread in {"api": mode == "thread", "placed": False}.items():
            url = f"/{prefix}/authors/{author.pk}/rename/"
            assert data(await send("POST", url, {"name": "Bob"}))["thread"] is thread

    loop_runner(main)


def test_a_view_may_read_the_body_before_drf_does(loop_runner: LoopRunner) -> None:
    class Look(APIView):
        def post(self, request: Request) -> Response:
            return Response({"body": request.body.decode(), "data": request.data})

    async def main() -> None:
        answer = await send("POST", "/look/", {"a": 1})
        assert data(answer) == {"body": '{"a": 1}', "data": {"a": 1}}

    with override_settings(ROOT_URLCONF=(path("look/", Look.as_view()),)):
        loop_runner(main)


@pytest.fixture(scope="module")
def own_tests() -> Path:
    """DRF's source distribution, unpacked; it has the tests that the package leaves out."""
    name = f"djangorestframework-{rest_framework.__version__}"
    folder = CACHE / name
    if not folder.exists():
        requirement = name.replace("-", "==")
        options = ["--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(CACHE)]
        command = [sys.executable, "-m", "pip", "download", *options, requirement]
        done = subprocess.run(command, capture_output=True, text=True, timeout=50)
        if done.returncode:
            pytest.skip(f"pip could not download the sdist of {requirement}")
        with tarfile.open(CACHE / f"{name}.tar.gz") as archive:
            archive.extractall(CACHE, filter="data")
    return folder


@pytest.mark.timeout(150)
def test_its_own_test_cases(own_tests: Path, mode: str) -> None:
    modules = [f"tests.{name}" for name in OWN_TESTS]
    done = subprocess.run(
        [sys.executable, str(HERE / "rest_framework_cases.py"), mode, *modules],
        cwd=own_tests,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.stdout, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["run"] > 200
    assert outcome["requests"] > 100
    # The other fault: no ASGI server sets REMOTE_USER, so Django's ASGI request has none.
    faults = [fault for case, fault in outcome["faults"] if "test_remote_user_works" not in case]
    assert faults == []
