"""``python -m demo.services promotions 5``: serve on the open socket with this number."""

from __future__ import annotations

import socket
import sys

from aiohttp import web

from .application import application
from .contents import CONTENTS

# Seconds that running requests get when the service stops.
GRACE = 1.0


def main() -> None:
    """Serve until a signal comes."""
    name, number = sys.argv[1:]
    web.run_app(
        application(CONTENTS[name]),
        sock=socket.socket(fileno=int(number)),
        print=None,
        access_log=None,
        shutdown_timeout=GRACE,
    )


if __name__ == "__main__":
    main()
