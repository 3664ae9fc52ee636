"""What stands behind the open file of a response: a file on disk, memory, or neither."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from typing import Any

from django.core.files import File
from django.core.files.utils import FileProxyMixin
from django.db.models.fields.files import FieldFile
from django.http import FileResponse, HttpRequest

_PASSED_ON = ("read", "seek", "tell")


def gives_bytes_anywhere(file: Any) -> bool:
    """Tell if an object can be read from any position, and gives bytes, not text."""
    seekable = hasattr(file, "seek") and hasattr(file, "tell")
    if seekable and hasattr(file, "seekable"):
        seekable = file.seekable()
    return seekable and not hasattr(file, "encoding")


def is_in_memory(file: Any) -> bool:
    """Tell if reading the file can't wait for anything."""
    return isinstance(_unwrapped(file), io.BytesIO)


def waits_on_loop(file: Any) -> bool:
    """Tell if a file's class says, by this attribute, that reading it waits on the loop."""
    return getattr(_unwrapped(file), "waits_on_loop", False) is True


def disk_status(file: Any) -> os.stat_result | None:
    """Return the status of the regular file on disk whose own bytes ``file`` reads, if any.

    A descriptor does not say that: a ``gzip.GzipFile`` has one, of the compressed file.
    So only the classes that ``open()`` returns count, and Django's wrappers of them.
    """
    raw = _raw(file)
    if raw is None:
        return None
    status = os.fstat(raw.fileno())
    return status if stat.S_ISREG(status.st_mode) else None


def is_on_disk(file: Any) -> bool:
    """Tell if reading the file is the system's work alone."""
    return _raw(file) is not None


def disk_path(file: Any, size: int) -> str | None:
    """Return the absolute path that leads to a file on disk, if it still does.

    It no longer does when the file has another size than ``size``, in bytes, or has been
    moved, deleted or replaced since it was opened.
    """
    status, name = disk_status(file), getattr(_unwrapped(file), "name", None)
    if status is None or not isinstance(name, str | bytes):
        return None
    try:
        path = os.path.abspath(os.fsdecode(name))
        found = os.stat(path)
    except OSError:
        return None
    return path if os.path.samestat(found, status) and found.st_size == size else None


def name_of(file: Any) -> str:
    """Return what to call a file in an error."""
    return str(getattr(file, "name", None) or type(file).__name__)


def may_outlive(response: FileResponse, request: HttpRequest) -> bool:
    """Tell if nothing that the response does when it is closed can delete its file.

    Servers may open the path of ``http.response.pathsend`` after ``send()`` has returned
    (granian does), so a view that deletes its file on closing must have it read here.
    """
    file = response.file_to_stream
    owners = [getattr(closer, "__self__", None) for closer in response._resource_closers]
    return (
        type(response).close is FileResponse.close
        and all(type(each).close in (File.close, FieldFile.close) for each in _wrappers(file))
        and all(owner is file or owner is request for owner in owners)
    )


def _wrappers(file: Any) -> Iterator[File]:
    """Yield Django's wrappers around a file, up to one of a subclass that reads otherwise."""
    while isinstance(file, File) and all(
        getattr(type(file), name) is getattr(FileProxyMixin, name) for name in _PASSED_ON
    ):
        yield file
        file = file.file


def _raw(file: Any) -> io.FileIO | None:
    file = _unwrapped(file)
    raw = file.raw if type(file) in (io.BufferedReader, io.BufferedRandom) else file
    return raw if type(raw) is io.FileIO else None


def _unwrapped(file: Any) -> Any:
    for wrapper in _wrappers(file):
        file = wrapper.file
    return file
