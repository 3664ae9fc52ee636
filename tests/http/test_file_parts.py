"""send_file: a file's bytes as ASGI messages, read in a thread one chunk at a time."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from django.core.files.base import ContentFile, File

from django_loom import await_
from django_loom.exceptions import FileTruncated, FileUnreadable
from django_loom.http.file_parts import READ_BYTES, FilePart, send_file
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.threads import noting_threads

SIZE = 2 * READ_BYTES + 1000
CONTENT = os.urandom(SIZE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "video.mp4"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def file(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as file:
        yield file


@dataclass
class Recorder:
    """A server's ``send()`` that keeps the messages, and calls ``meanwhile`` for the first."""

    meanwhile: Callable[[], object] = lambda: None
    messages: list[dict[str, Any]] = field(default_factory=list)

    async def __call__(self, message: dict[str, Any]) -> None:
        if not self.messages:
            self.meanwhile()
        self.messages.append(message)
        await asyncio.sleep(0)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)

    @property
    def more(self) -> list[bool]:
        return [message.get("more_body", False) for message in self.messages]


class Scripted:
    """A file that is neither on disk nor in memory: each read is one call of ``on_read``."""

    name = "scripted"

    def __init__(self, on_read: Callable[[int], Any]) -> None:
        self.read = on_read
        self.position: int | None = None

    def seek(self, position: int) -> None:
        self.position = position


def whole(file: Any, size: int = SIZE) -> FilePart:
    return FilePart(file, 0, size, True)


class TestBody:
    def test_a_file_goes_in_chunks_and_the_last_says_so(
        self, file: BinaryIO, loop_runner: LoopRunner
    ) -> None:
        send = Recorder()
        loop_runner(send_file(whole(file), send, pathsend=False))
        assert [len(message["body"]) for message in send.messages] == [READ_BYTES, READ_BYTES, 1000]
        assert {message["type"] for message in send.messages} == {"http.response.body"}
        assert send.more == [True, True, False]
        assert send.body == CONTENT

    @pytest.mark.parametrize(("start", "length"), [(5, 1), (7, READ_BYTES), (SIZE - 9, 9)])
    def test_a_part_is_sent_and_nothing_around_it(
        self, file: BinaryIO, loop_runner: LoopRunner, start: int, length: int
    ) -> None:
        send = Recorder()
        loop_runner(send_file(FilePart(file, start, length, True), send, pathsend=True))
        assert send.body == CONTENT[start : start + length]
        assert send.more == [False]

    def test_no_part_is_one_empty_message_and_no_read(self, loop_runner: LoopRunner) -> None:
        send = Recorder()
        part = FilePart(Scripted(pytest.fail), 0, 0, True)
        loop_runner(send_file(part, send, pathsend=True))
        assert (send.body, send.more) == (b"", [False])

    def test_each_read_is_made_in_a_thread_when_the_last_was_taken(
        self, loop_runner: LoopRunner
    ) -> None:
        events: list[str] = []

        def read(size: int) -> bytes:
            assert threading.current_thread() is not threading.main_thread()
            events.append("read")
            return b"x" * size

        async def send(message: dict[str, Any]) -> None:
            events.append("send")
            await asyncio.sleep(0)
            events.append("taken")

        loop_runner(send_file(whole(Scripted(read)), send, pathsend=False))
        assert events == ["read", "send", "taken"] * 3

    @pytest.mark.parametrize("make", [io.BytesIO, ContentFile])
    def test_memory_is_read_without_a_thread(
        self, loop_runner: LoopRunner, make: Callable[[bytes], Any]
    ) -> None:
        send = Recorder()
        with noting_threads() as noted:
            loop_runner(send_file(whole(make(CONTENT)), send, pathsend=False))
        assert noted == []
        assert send.body == CONTENT
        assert len(send.messages) == 3

    def test_a_file_that_waits_on_the_loop_is_read_there(self, loop_runner: LoopRunner) -> None:
        class Marked(Scripted):
            waits_on_loop = True

        def read(size: int) -> bytes:
            await_(asyncio.sleep(0))
            return b"x" * size

        send = Recorder()
        with noting_threads() as noted:
            loop_runner(send_file(whole(File(Marked(read))), send, pathsend=False))
        assert noted == []
        assert send.body == b"x" * SIZE

    def test_short_reads_and_other_kinds_of_bytes_are_sent_on(
        self, loop_runner: LoopRunner
    ) -> None:
        chunks = iter([b"a", bytearray(b"bc"), memoryview(b"def")])
        send = Recorder()
        loop_runner(send_file(whole(Scripted(lambda size: next(chunks)), 6), send, pathsend=False))
        assert [message["body"] for message in send.messages] == [b"a", b"bc", b"def"]
        assert {type(message["body"]) for message in send.messages} == {bytes}


class TestChanges:
    def test_a_file_that_shrinks_is_an_error_and_never_looks_complete(
        self, path: Path, file: BinaryIO, loop_runner: LoopRunner
    ) -> None:
        send = Recorder(lambda: os.truncate(path, READ_BYTES + 10))
        expected = rf"video\.mp4 ended {SIZE - READ_BYTES - 10} bytes before the {SIZE}"
        with pytest.raises(FileTruncated, match=expected):
            loop_runner(send_file(whole(file), send, pathsend=False))
        assert send.body == CONTENT[: READ_BYTES + 10]
        assert all(send.more)

    def test_the_error_is_not_taken_for_a_client_that_left(self) -> None:
        assert not issubclass(FileTruncated, OSError)

    def test_of_a_file_that_grows_only_what_was_promised_is_sent(
        self, path: Path, file: BinaryIO, loop_runner: LoopRunner
    ) -> None:
        send = Recorder(lambda: path.write_bytes(CONTENT + b"more"))
        loop_runner(send_file(whole(file), send, pathsend=False))
        assert send.body == CONTENT
        assert send.more[-1] is False

    @pytest.mark.parametrize("error", [OSError(5, "disk"), ValueError("closed")])
    def test_a_read_that_fails_names_the_file(
        self, loop_runner: LoopRunner, error: Exception
    ) -> None:
        def read(size: int) -> bytes:
            raise error

        with pytest.raises(FileUnreadable, match="scripted") as raised:
            loop_runner(send_file(whole(Scripted(read)), Recorder(), pathsend=False))
        assert raised.value.__cause__ is error

    def test_an_error_of_the_server_passes(self, file: BinaryIO, loop_runner: LoopRunner) -> None:
        async def send(message: dict[str, Any]) -> None:
            raise BrokenPipeError("the client has left")

        with pytest.raises(BrokenPipeError):
            loop_runner(send_file(whole(file), send, pathsend=False))


class TestPath:
    def check_path(self, loop_runner: LoopRunner, part: FilePart, path: Path) -> None:
        send = Recorder()
        loop_runner(send_file(part, send, pathsend=True))
        assert send.messages == [{"type": "http.response.pathsend", "path": str(path)}]

    def check_body(self, loop_runner: LoopRunner, part: FilePart, pathsend: bool = True) -> None:
        send = Recorder()
        loop_runner(send_file(part, send, pathsend=pathsend))
        assert {message["type"] for message in send.messages} == {"http.response.body"}
        assert send.body == CONTENT

    def test_a_whole_file_goes_by_its_path(
        self, path: Path, file: BinaryIO, loop_runner: LoopRunner
    ) -> None:
        self.check_path(loop_runner, whole(file), path)

    def test_a_relative_name_becomes_an_absolute_path(
        self, path: Path, loop_runner: LoopRunner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(path.parent)
        with open(path.name, "rb") as file:
            self.check_path(loop_runner, whole(file), path)
            monkeypatch.chdir("/")
            self.check_body(loop_runner, whole(file))

    def test_a_name_in_bytes_becomes_text(self, path: Path, loop_runner: LoopRunner) -> None:
        with open(bytes(path), "rb") as file:
            self.check_path(loop_runner, whole(file), path)

    def test_a_server_without_the_extension_gets_the_body(
        self, file: BinaryIO, loop_runner: LoopRunner
    ) -> None:
        self.check_body(loop_runner, whole(file), pathsend=False)

    def test_a_part_that_may_not_go_by_its_path_does_not(
        self, file: BinaryIO, loop_runner: LoopRunner
    ) -> None:
        self.check_body(loop_runner, FilePart(file, 0, SIZE, False))

    def test_a_file_that_was_deleted_is_read(
        self, path: Path, file: BinaryIO, loop_runner: LoopRunner
    ) -> None:
        path.unlink()
        self.check_body(loop_runner, whole(file))

    def test_a_file_that_was_replaced_is_read(
        self, path: Path, file: BinaryIO, loop_runner: LoopRunner
    ) -> None:
        other = path.with_name("other")
        other.write_bytes(bytes(SIZE))
        other.replace(path)
        self.check_body(loop_runner, whole(file))

    def test_a_file_that_grew_is_read(
        self, path: Path, file: BinaryIO, loop_runner: LoopRunner
    ) -> None:
        path.write_bytes(CONTENT + b"more")
        self.check_body(loop_runner, whole(file))

    def test_a_file_known_by_its_descriptor_only_is_read(
        self, path: Path, loop_runner: LoopRunner
    ) -> None:
        with open(os.open(path, os.O_RDONLY), "rb") as file:
            self.check_body(loop_runner, whole(file))

    def test_what_only_looks_like_a_file_on_disk_is_read(
        self, path: Path, file: BinaryIO, loop_runner: LoopRunner
    ) -> None:
        class Decrypting(Scripted):
            name = str(path)
            fileno = file.fileno

        self.check_body(loop_runner, whole(Decrypting(file.read)))


class Gated:
    """A file whose read lasts until it is let go, and that knows if it was closed meanwhile."""

    name = "gated"

    def __init__(self, error: Exception | None = None) -> None:
        self.reading, self.may_end = threading.Event(), threading.Event()
        self.closed = self.was_closed_during_read = False
        self._error = error

    def seek(self, position: int) -> None:
        pass

    def read(self, size: int) -> bytes:
        self.reading.set()
        assert self.may_end.wait(50)
        self.was_closed_during_read = self.closed
        if self._error is not None:
            raise self._error
        return bytes(size)

    def close(self) -> None:
        self.closed = True


class TestCancellation:
    @pytest.mark.parametrize("times", [1, 3])
    def test_the_file_is_not_closed_while_a_thread_reads_it(
        self, loop_runner: LoopRunner, times: int
    ) -> None:
        file = Gated()

        async def respond() -> None:
            try:
                await send_file(whole(file), Recorder(), pathsend=False)
            finally:
                file.close()

        async def main() -> None:
            task = asyncio.create_task(respond())
            await aeventually(file.reading.is_set)
            for _ in range(times):
                task.cancel()
                for _ in range(5):
                    await asyncio.sleep(0)
            try:
                assert not task.done()
            finally:
                file.may_end.set()
            await asyncio.wait([task])
            assert task.cancelled()

        loop_runner(main)
        assert file.closed
        assert not file.was_closed_during_read

    def test_a_read_that_fails_for_nobody_leaves_no_noise(self, loop_runner: LoopRunner) -> None:
        file = Gated(OSError("disk"))

        async def main() -> None:
            task = asyncio.create_task(send_file(whole(file), Recorder(), pathsend=False))
            await aeventually(file.reading.is_set)
            task.cancel()
            file.may_end.set()
            await asyncio.wait([task])
            assert task.cancelled()
            del task
            gc.collect()

        loop_runner(main)

    def test_a_server_that_does_not_take_more_is_left_at_once(
        self, file: BinaryIO, loop_runner: LoopRunner
    ) -> None:
        async def main() -> None:
            stuck = asyncio.Event()

            async def send(message: dict[str, Any]) -> None:
                stuck.set()
                await asyncio.Event().wait()

            task = asyncio.create_task(send_file(whole(file), send, pathsend=False))
            await stuck.wait()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

        loop_runner(main)
