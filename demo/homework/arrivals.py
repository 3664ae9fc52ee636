"""One file while it arrives."""

from __future__ import annotations

from threading import Lock
from typing import BinaryIO
from uuid import uuid4

from .archives import archive_kind
from .folder import part_of, path_of
from .kinds import ContentCheck, Kind
from .refusals import empty_file


class Arrival:
    """Writes a file to the storage's folder, piece by piece, under a name that ends in .part.

    The methods wait for the disk: they belong in a thread. An upload that is given up may
    discard the file while another thread still writes or renames it, so they take turns.

    :param name: the client's name for the file, which is text and no more.
    """

    def __init__(self, name: str) -> None:
        self.identity = uuid4()
        self.name = name
        self.size = 0
        self.is_kept = False
        self._check = ContentCheck()
        self._file: BinaryIO | None = None
        self._discarded = False
        self._turn = Lock()

    @property
    def kind(self) -> Kind:
        """What the content is, once it is known."""
        assert self._check.kind is not None
        return self._check.kind

    def add(self, chunk: bytes) -> None:
        """Look at a piece, and store it.

        :raises Refused: the file is of no kind that is taken.
        :raises OSError: the disk is full, or fails.
        """
        with self._turn:
            self._store(self._check.admit(chunk))

    def finish(self) -> None:
        """End the file, all of which is there.

        :raises Refused: it is empty, damaged, or of no kind that is taken.
        :raises OSError: the disk is full, or fails.
        """
        with self._turn:
            self._store(self._check.finish())
            if self._file is None:
                raise empty_file()
            if self.kind is Kind.ZIP:
                self._check.kind = archive_kind(self._file)
            self._file.close()

    def keep(self) -> None:
        """Give the finished file its name for good.

        :raises OSError: the disk fails.
        """
        with self._turn:
            if not self._discarded:
                part_of(self.identity).replace(path_of(self.identity))
                self.is_kept = True

    def discard(self) -> None:
        """Leave nothing of the file; may be called at any time, and twice."""
        with self._turn:
            self._discarded = True
            try:
                if self._file is not None:
                    self._file.close()
            except OSError:
                pass  # the disk is full: what could not be written is not wanted any more
            part_of(self.identity).unlink(missing_ok=True)
            path_of(self.identity).unlink(missing_ok=True)

    def _store(self, content: bytes) -> None:
        if not content or self._discarded:
            return
        if self._file is None:
            part = part_of(self.identity)
            part.parent.mkdir(parents=True, exist_ok=True)
            self._file = part.open("x+b")
        self._file.write(content)
        self.size += len(content)
