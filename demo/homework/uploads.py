"""The upload handler: from Django's parser straight into the storage's folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ParamSpec

from django.core.files.uploadhandler import FileUploadHandler, StopUpload

from django_loom import await_

from .arrivals import Arrival
from .names import client_name
from .refusals import Refused, broken_upload, not_stored, several_files

P = ParamSpec("P")

FIELD = "file"


class IntoFolder(FileUploadHandler):
    """Takes one file, each piece of which is written in a thread before the next is read.

    So memory holds one piece, 64 KiB, however large the file, and a slow disk slows the
    client down, not the site. The first reason against the file ends the upload:
    what the client still sends is not even looked at.

    Django calls this in the greenlet that parses the form, hence ``await_()``.

    :param check_name: called with the name of the file before its first byte is read;
        raises ``Refused`` if there may not be a file of that name.
    """

    def __init__(self, check_name: Callable[[str], None]) -> None:
        super().__init__()
        self.arrival: Arrival | None = None
        self.refusal: Refused | None = None
        self._check_name = check_name

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Begin a file."""
        super().new_file(*args, **kwargs)
        self._or_stop(self._begin)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Store a piece of it; no other handler gets that."""
        assert self.arrival is not None
        self._or_stop(_in_thread, self.arrival.add, raw_data)

    def file_complete(self, file_size: int) -> None:
        """End it. The view takes it from here, so it is not in ``request.FILES``."""
        assert self.arrival is not None
        self._or_stop(_in_thread, self.arrival.finish)

    def upload_interrupted(self) -> None:
        """Note that the form ended within the file."""
        self.refusal = broken_upload()

    def _begin(self) -> None:
        if self.arrival is not None or self.field_name != FIELD:
            raise several_files()
        name = client_name(self.file_name)
        self._check_name(name)
        self.arrival = Arrival(name)

    def _or_stop(self, fn: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            fn(*args, **kwargs)
        except Refused as refusal:
            self.refusal = refusal
        except OSError:
            self.refusal = not_stored()
        if self.refusal is not None:
            raise StopUpload(connection_reset=True)  # don't read the rest, that is


def _in_thread(fn: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    await_(asyncio.to_thread(fn, *args, **kwargs))
