"""What the requests of one test have met, under a name that the test gives in the query."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import defaultdict
from typing import Any
from urllib.parse import parse_qs

from django.conf import settings


class Record:
    """Notes of a view, and a gate at which it can wait for the test."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.messages = 0  # of a request body, as the application has received them
        self.bytes = 0
        self.ended = 0.0  # when its view did, by the clock that all processes share
        self.gate = asyncio.Event()
        self.gate_for_threads = threading.Event()

    def count(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.request":
            self.messages += 1
            self.bytes += len(message.get("body", b""))

    def open(self) -> None:
        self.gate.set()
        self.gate_for_threads.set()

    def as_json(self) -> dict[str, Any]:
        body = {"messages": self.messages, "bytes": self.bytes}
        return {"notes": self.notes, "ended": self.ended, **body}


_records: defaultdict[str, Record] = defaultdict(Record)
temporary_files: list[str] = []


def named(name: str) -> Record:
    return _records[name]


def record_of(query: str) -> Record:
    """The record that a query string names with `record=`."""
    return _records[parse_qs(query).get("record", [""])[0]]


def watch_temporary_files() -> None:
    """Note each file that is made in the upload folder, those without a name as well."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and str(args[0]).startswith(settings.FILE_UPLOAD_TEMP_DIR):
            temporary_files.append(str(args[0]))

    sys.addaudithook(hook)
