"""Stands for `loom lab`: says what it says, and obeys SIGTERM as it does.

Its first argument is what to do: finish, fail, or wait until it is ended. `stubborn` heeds no
signal but SIGKILL.
"""

from __future__ import annotations

import os
import signal
import sys


def say(text: str) -> None:
    os.write(1, text.encode())


def bar(done: int) -> None:
    say(f"\r\x1b[2Kfake ━━━━╸     {done}/2 0:00:01 loom at {done}: 19.3/s, p50 206 ms")


def interrupted(*ignored: object) -> None:
    say("\n- something was measured\nReport: out/fake/report.html\nInterrupted.\n")
    sys.exit(130)


def main(what: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN if what == "stubborn" else interrupted)
    bar(0)
    bar(1)
    say("\r")
    while what in ("wait", "stubborn"):
        signal.pause()
    if what == "fail":
        say("\nError: the server did not come up\n")
        sys.exit(2)
    bar(2)
    say("\n\nIs it?\n- it is\nReport: out/fake/report.html\n")


if __name__ == "__main__":
    main(sys.argv[1])
