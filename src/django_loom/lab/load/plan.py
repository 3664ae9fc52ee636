"""What a load shall be, checked before anything is sent."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import resource
import socket
from dataclasses import dataclass, replace
from urllib.parse import SplitResult, urlsplit

from django_loom.lab.exceptions import PlanError

MAX_SECONDS = 3600.0
MAX_REQUESTS = 10_000_000
MAX_CLIENTS = 100_000
SPARE_FILES = 64  # for the loop, the output and whatever else the process has open
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """A load, and when it ends.

    With `requests` it is measured from the first request sent to the last answered, as ab does;
    `seconds`, when given too, is when the last is sent at the latest. With `seconds` alone so much
    is measured of a load that goes on before and after it.

    `clients` is how many requests can be under way at once. Each client sends its next request when
    its last was answered; with a `rate` (requests per second) requests are due at even intervals
    instead, wait for a free client, and their latency counts from when they were due.
    `warmup` and `timeout` (of a request) are seconds. `core` is the processor core of the first
    of the generator's `processes`; the others take those after it.
    Only loopback addresses are allowed unless `any_host` is true.

    Raises `PlanError` for what cannot be done.
    """

    url: str
    clients: int
    seconds: float | None = None
    requests: int | None = None
    warmup: float = 1.0
    rate: float | None = None
    keep_alive: bool = True
    headers: tuple[tuple[str, str], ...] = ()
    core: int | None = None
    processes: int = 1
    timeout: float = 30.0
    method: str = "GET"
    body: bytes = b""
    any_host: bool = False

    def __post_init__(self) -> None:
        if self.seconds is None and self.requests is None:
            raise PlanError("give seconds, or requests, or both: a load must end")
        check_range("clients", self.clients, 1, MAX_CLIENTS)
        check_range("processes", self.processes, 1, self.clients)
        check_range("timeout", self.timeout, 0.001, MAX_SECONDS)
        check_range("warmup", self.warmup, 0, MAX_SECONDS)
        if self.seconds is not None:
            check_range("seconds", self.seconds, 0.001, MAX_SECONDS)
        if self.requests is not None:
            check_range("requests", self.requests, self.processes, MAX_REQUESTS)
        if self.rate is not None:
            check_range("rate", self.rate, 0.001, 1_000_000)
            check_range("requests / rate", (self.requests or 0) / self.rate, 0, MAX_SECONDS)
        parts(self.url)
        self._check_fields()

    @property
    def window_seconds(self) -> float:
        """How long requests are sent at most, in seconds."""
        seconds = MAX_SECONDS if self.seconds is None else self.seconds
        if self.requests is None or self.rate is None:
            return seconds
        return min(seconds, self.requests / self.rate)

    def request(self) -> bytes:
        """The bytes of each request."""
        url = parts(self.url)
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        fields = {
            "host": f"Host: {url.netloc}",
            "connection": f"Connection: {'keep-alive' if self.keep_alive else 'close'}",
        }
        if self.body or self.method in {"POST", "PUT", "PATCH"}:
            fields["content-length"] = f"Content-Length: {len(self.body)}"
        # A header of the user's replaces ours; a name may come more than once.
        named = {name.lower() for name, _ in self.headers}
        ours = [line for name, line in fields.items() if name not in named]
        theirs = [f"{name}: {value}" for name, value in self.headers]
        head = [f"{self.method} {target} HTTP/1.1", *ours, *theirs, "", ""]
        return "\r\n".join(head).encode("latin-1") + self.body

    def shares(self) -> list[LoadPlan]:
        """The plan of each process; together they are this one."""
        return [self._share(index) for index in range(self.processes)]

    def _share(self, index: int) -> LoadPlan:
        def part(whole: int) -> int:
            return whole // self.processes + (index < whole % self.processes)

        return replace(
            self,
            clients=part(self.clients),
            requests=None if self.requests is None else part(self.requests),
            rate=None if self.rate is None else self.rate / self.processes,
            core=None if self.core is None else self.core + index,
            processes=1,
        )

    def _check_fields(self) -> None:
        for token in (self.method, *(name for name, _ in self.headers)):
            if not TOKEN.fullmatch(token):
                raise PlanError(f"expected a method or a header's name, not {token!r}")
        for name, value in self.headers:
            if not value.isprintable() or not can_encode(value):
                raise PlanError(f"header {name}: expected printable Latin-1 text, not {value!r}")


def check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise PlanError(f"{name} must be from {low:g} to {high:g}, not {value:g}")


def can_encode(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def parts(url: str) -> SplitResult:
    """The parts of a URL that can be loaded; `PlanError` for another."""
    try:
        found = urlsplit(url)
        usable = found.scheme == "http" and found.hostname and found.port != 0
        usable = usable and found.username is None  # a header says who asks
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise PlanError(f"expected a URL such as http://127.0.0.1:8000/path/, not {url!r}")
    return found


async def address(plan: LoadPlan) -> tuple[str, int]:
    """The IP address and port of the plan's URL.

    Raises `PlanError` if the host has no address, or one that is not this machine's own loopback
    and the plan does not allow others.
    """
    url = parts(plan.url)
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(url.hostname, url.port or 80, type=socket.SOCK_STREAM)
    except OSError as error:
        raise PlanError(f"host {url.hostname}: {error.strerror}") from error
    # Test servers listen on IPv4, whatever the first address of "localhost" is.
    host, port = min(found, key=lambda each: each[0] != socket.AF_INET)[4][:2]
    if not ipaddress.ip_address(host).is_loopback and not plan.any_host:
        raise PlanError(
            f"{url.hostname} is {host}, not this machine; load only what is yours,"
            " and say so with --i-own-this-host (in Python: any_host=True)"
        )
    return str(host), int(port)


def allow_open_files(clients: int) -> None:
    """Let this process open a connection for each client; `PlanError` if it may not."""
    needed = clients + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed or soft == resource.RLIM_INFINITY:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise PlanError(
            f"{clients} clients need {needed} open files and this process may have {hard};"
            f" use at least --processes {-(-clients // max(hard - SPARE_FILES, 1))}"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
