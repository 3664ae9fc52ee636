"""Large bodies, sent and received without holding them."""

from __future__ import annotations

from tests.http.servers.client import (
    Answer,
    connect,
    read_answer,
    send_head,
    start_answer,
)
from tests.http.servers.processes import RunningServer

MIB = 2**20
UPLOAD_BYTES = 200 * MIB
SPARSE_BYTES = 512 * MIB

FIRST = b'--limit\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n\r\n'
LAST = b'\r\n--limit\r\nContent-Disposition: form-data; name="last"\r\n\r\nyes\r\n--limit--\r\n'


def upload(server: RunningServer, path: str, record: str) -> tuple[Answer, int]:
    """Send a form with a file of 200 MiB to one of the slow views.

    Returns the answer, and how many bytes of the file the upload handler had not seen yet
    when the client had handed over all of them: what the kernel and the server keep.
    """
    with connect(server.port) as connection:
        length = str(UPLOAD_BYTES + len(FIRST) + len(LAST))
        form = "multipart/form-data; boundary=limit"
        path = f"{path}?record={record}"
        send_head(connection, "POST", path, Content_Type=form, Content_Length=length)
        connection.sendall(FIRST)
        part = bytes(MIB)
        for _ in range(UPLOAD_BYTES // len(part)):
            connection.sendall(part)
        notes = server.notes(record)
        connection.sendall(LAST)
        return read_answer(connection), UPLOAD_BYTES - int(notes[0] if notes else 0)


def download(port: int, first: int = 0) -> int:
    """Receive the sparse file from one byte on, as fast as it comes; return how many came."""
    headers = {"Range": f"bytes={first}-"} if first else {}
    with connect(port) as connection:
        send_head(connection, "GET", "/download", **headers)
        response = start_answer(connection)
        buffer = memoryview(bytearray(MIB))
        length = 0
        while taken := response.readinto(buffer):
            length += taken
        return length
