"""The drawings of the explanation; `python docs/_ext/loom_drawings` writes docs/images."""

from __future__ import annotations

from .columns import Columns, Frame, Node
from .lanes import Box, Drawing

WSGI = Drawing(
    "A request under WSGI: one thread from beginning to end",
    ["worker's thread", "database"],
    [
        Box(0, 0, 13, "middleware"),
        Box(0, 13, 12, "view", "view"),
        Box(0, 25, 22, "waits", "wait"),
        Box(1, 26, 20, "query", "held"),
        Box(0, 47, 12, "view", "view"),
        Box(0, 59, 13, "middleware"),
    ],
    note="While it waits, this thread serves nobody else: another request needs another one.",
)

STOCK = Drawing(
    "A request to an async view under Django's own ASGI handler",
    ["event loop", "request's thread", "database"],
    [
        Box(0, 0, 4, "loop", "loop"),
        Box(1, 5, 10, "middleware"),
        Box(0, 16, 4, "", "loop"),
        Box(1, 21, 10, "the next …"),
        Box(0, 32, 8, "view", "view"),
        Box(1, 41, 6, "get()"),
        Box(1, 47, 11, "waits", "wait"),
        Box(2, 47, 11, "query", "held"),
        Box(0, 59, 6, "view", "view"),
        Box(1, 66, 7, "… back"),
        Box(0, 74, 4, "loop", "loop"),
    ],
    [
        (4.5, 0, 1),
        (15.5, 1, 0),
        (20.5, 0, 1),
        (31.5, 1, 0),
        (40.5, 0, 1),
        (58.5, 1, 0),
        (65.5, 0, 1),
        (73.5, 1, 0),
    ],
    note="An arrow hands over to another thread. Middleware and ORM calls go there and back.",
)

LOOM = Drawing(
    "The same request under django-loom: one greenlet on the event loop's thread",
    ["event loop's thread", "others' requests", "database"],
    [
        Box(0, 0, 13, "middleware"),
        Box(0, 13, 12, "view", "view"),
        Box(0, 25, 22, "the query is awaited", "wait"),
        Box(1, 26, 9, "request 2", "loop"),
        Box(1, 37, 9, "request 3", "loop"),
        Box(2, 25, 22, "query", "held"),
        Box(0, 47, 12, "view", "view"),
        Box(0, 59, 13, "middleware"),
    ],
    note="No thread, no hop. While the query is awaited, the thread serves other requests.",
)

BRIDGE = Drawing(
    "run_sync() and await_(): one thread, two stacks",
    ["coroutine", "greenlet", "event loop"],
    [
        Box(0, 0, 13, "run_sync(f)"),
        Box(1, 14, 14, "f() runs", "view"),
        Box(0, 29, 10, "await it"),
        Box(2, 40, 14, "runs others", "loop"),
        Box(0, 55, 7, "result"),
        Box(1, 63, 10, "f() ends", "view"),
        Box(0, 74, 6, "value"),
    ],
    [(13.5, 0, 1), (28.5, 1, 0), (39.5, 0, 2), (54.5, 2, 0), (62.5, 0, 1), (73.5, 1, 0)],
    note="An arrow is a switch of stacks in one thread. f() is synchronous: Django's, or yours.",
)

LEASES = Drawing(
    "When an async view holds a connection",
    ["view", "connection"],
    [
        Box(0, 0, 11, "aget()", "view"),
        Box(0, 12, 18, "asks a service", "wait"),
        Box(0, 31, 11, "acount()", "view"),
        Box(0, 44, 34, "async with atomic(): …, asks a service, …", "view"),
        Box(1, 0, 11, "held", "held"),
        Box(1, 31, 11, "held", "held"),
        Box(1, 44, 34, "held until the end of the block", "held"),
    ],
    note="None is held while a service is awaited, unless a transaction or a cursor is open.",
)

THREADS = Drawing(
    "Three requests that each compute a little and wait long",
    ["sync worker", "thread 1", "thread 2", "event loop"],
    [
        *(
            each
            for n in range(3)
            for each in (
                Box(0, 26 * n, 5, f"{n + 1}", "view"),
                Box(0, 26 * n + 5, 20, "waits", "wait"),
            )
        ),
        Box(1, 0, 5, "1", "view"),
        Box(1, 5, 20, "waits", "wait"),
        Box(2, 5, 5, "2", "view"),
        Box(2, 10, 20, "waits", "wait"),
        Box(1, 26, 5, "3", "view"),
        Box(1, 31, 20, "waits", "wait"),
        *(Box(3, 5 * n, 5, f"{n + 1}", "view") for n in range(3)),
        Box(3, 15, 20, "all three wait", "wait"),
    ],
    note="The GIL lets one thread compute at a time. The loop needs no thread to wait.",
)

UNIT = Columns(
    "A unit of work, and the connections that its code uses",
    5,
    [
        Frame(20, 50, 662, 326, "unit of work: one request, with all that it starts"),
        Frame(722, 50, 194, 326, "the pool of the process"),
    ],
    [
        Node(40, 0, 160, "middleware, view", "a flow: one greenlet"),
        Node(40, 1, 160, "a gathered task", "a flow for each call"),
        Node(40, 2, 160, "a view in a thread", "a flow"),
        Node(40, 3, 160, "a streamed iterator", "a flow: first part to last"),
        Node(244, 0, 170, "connection object", "one for each database", "view", rows=4),
        Node(40, 4, 622, "values of threading.local objects", "the same for all flows", "view"),
        Node(458, 0, 204, "a flow's lease", "until it waits or ends", "wait"),
        Node(458, 1, 204, "a transaction's lease", "until its block ends", "wait"),
        Node(458, 2, 204, "a server-side cursor's lease", "until it is closed", "wait"),
        Node(458, 3, 204, "the unit's lease: a pin", "until the unit ends, then reset", "wait"),
        *(Node(740, row, 158, "connection", "", "held") for row in range(4)),
        Node(740, 4, 158, "connection", "nobody's now", "loop"),
    ],
    [
        *((200, 242, row) for row in range(4)),
        *((414, 456, row) for row in range(4)),
        *((662, 738, row) for row in range(4)),
    ],
    [
        "Code gets the lease of the transaction that it is in; else that of the cursor that it"
        " reads; else the unit's,",
        "if a statement has changed the session; else that of its flow, taken from the pool when"
        " it is first needed.",
    ],
)

DRAWINGS: dict[str, Columns | Drawing] = {
    "wsgi": WSGI,
    "stock-asgi": STOCK,
    "loom-asgi": LOOM,
    "bridge": BRIDGE,
    "leases": LEASES,
    "threads": THREADS,
    "unit": UNIT,
}
