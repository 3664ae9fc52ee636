"""uvicorn on an open socket: `serve_asgi.py FD MODULE:ATTRIBUTE`."""

from __future__ import annotations

import socket
import sys

import uvicorn

if __name__ == "__main__":
    listener = socket.socket(fileno=int(sys.argv[1]))
    config = uvicorn.Config(sys.argv[2], access_log=False, log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])
