"""Sending part of an open file over ASGI, without its bytes in memory or the loop held up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from django_loom.bridge import run_sync
from django_loom.exceptions import FileTruncated, FileUnreadable
from django_loom.offload import executor

from .opened_files import disk_path, is_in_memory, is_on_disk, name_of, waits_on_loop

READ_BYTES = 2**18


@dataclass(frozen=True, slots=True)
class FilePart:
    """What of a response's file to send: ``length`` bytes from position ``start`` on.

    ``may_send_path`` tells if a server may open the file by its path instead, should the
    part turn out to be the whole of it.
    """

    file: Any
    start: int
    length: int
    may_send_path: bool


async def send_file(
    part: FilePart, send: Callable[[dict[str, Any]], Awaitable[None]], *, pathsend: bool
) -> None:
    """Send a part of a file as the body of a response whose head was sent.

    Each read of 256 KiB is made in a thread, after the server has taken the one before. A
    cancelled caller gets its ``CancelledError`` when the read that runs has ended.

    :param pathsend: whether the server has the extension ``http.response.pathsend``, which
        is used for the whole of a file on disk that its path still leads to.
    :raises FileTruncated: the file ended before the promised length. There is no other way
        to tell the client than to abort the connection, as servers do for an exception.
    :raises FileUnreadable: a read failed.
    """
    # A cancelled caller waits for a read that runs, as it closes the file next: close() while
    # read() runs in a thread can fail, or let the read go on in another file that got the same
    # descriptor.
    threads = executor("files")
    if pathsend and part.may_send_path:
        path = await threads.run_bare(disk_path, part.file, part.length)
        if path is not None:
            await send({"type": "http.response.pathsend", "path": path})
            return
    in_memory = is_in_memory(part.file)
    run: Any = threads.run_bare if is_on_disk(part.file) else threads.run
    if waits_on_loop(part.file):
        run = run_sync
    sent = 0
    while sent < part.length:
        chunk = _read(part, sent) if in_memory else await run(_read, part, sent)
        sent += len(chunk)
        more = sent < part.length
        await send({"type": "http.response.body", "body": chunk, "more_body": more})
    if not part.length:
        await send({"type": "http.response.body"})


def _read(part: FilePart, sent: int) -> bytes:
    try:
        if not sent:
            part.file.seek(part.start)
        chunk = bytes(part.file.read(min(READ_BYTES, part.length - sent)))
    except (OSError, ValueError) as error:
        raise FileUnreadable(f"reading {name_of(part.file)} for a response failed") from error
    if not chunk:
        raise FileTruncated(
            f"{name_of(part.file)} ended {part.length - sent} bytes before the {part.length} that "
            "Content-Length promised: it became shorter while it was being sent; replace a file "
            "that is served by renaming the new one, instead of writing over it"
        )
    return chunk
