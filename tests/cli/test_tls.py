"""`loom serve --ssl-certfile`: HTTPS, and what is wrong with a certificate, in a line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.certificates import PASSWORD, Certificates
from tests.cli.processes import assert_refused, loom, read_all, serve, several

VARIABLE = "LOOM_SSL_KEYFILE_PASSWORD"


@pytest.fixture(autouse=True)
def no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("pem"))


@several
def test_it_serves_https_and_stops(pem: Certificates, options: list[str]) -> None:
    files = ["--ssl-certfile", pem.certificate, "--ssl-keyfile", pem.key]
    with serve(*files, *options, tls=pem.client) as served:
        assert served.get().startswith(b"HTTP/1.1 200 OK\r\n")
        assert served.stop() == 0
        assert served.events[-1] == "lifespan ended"
    assert "Traceback" not in served.output


def test_one_file_may_have_both(pem: Certificates) -> None:
    with serve("--ssl-certfile", pem.both, tls=pem.client) as served:
        assert served.get().startswith(b"HTTP/1.1 200 OK\r\n")


@several
def test_a_key_that_is_encrypted(
    pem: Certificates, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    monkeypatch.setenv(VARIABLE, PASSWORD)
    files = ["--ssl-certfile", pem.certificate, "--ssl-keyfile", pem.encrypted_key]
    with serve(*files, *options, tls=pem.client) as served:
        assert served.get().startswith(b"HTTP/1.1 200 OK\r\n")


def test_django_sees_that_it_is_secure(
    tmp_path: Path, pem: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = {"ENGINE": "django_loom.db.sqlite3", "NAME": str(tmp_path / "database")}
    monkeypatch.setenv("LOOM_DATABASE", json.dumps(database))
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    app = "tests.cli.project:application"
    with serve("--ssl-certfile", pem.both, app=app, tls=pem.client) as served:
        assert b'[true, "127.0.0.1"]' in served.get("/client")


@several
def test_a_handshake_has_to_come_in_the_time_of_a_head(
    pem: Certificates, options: list[str]
) -> None:
    files = ["--ssl-certfile", pem.both, "--head-timeout", "0.3"]
    with (
        serve(*files, *options, tls=pem.client) as served,
        served.connect_plainly() as client,
    ):
        before = served.output
        assert read_all(client) == b""
        assert served.stop() == 0
    assert "ERROR" not in served.output.removeprefix(before)
    assert "Traceback" not in served.output


def test_a_client_that_speaks_plain_http_disturbs_nobody(pem: Certificates) -> None:
    with serve("--ssl-certfile", pem.both, tls=pem.client) as served:
        before = served.output
        with served.connect_plainly() as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"HTTP" not in read_all(client)
        assert served.output == before
        assert served.get().startswith(b"HTTP/1.1 200 OK\r\n")


# What is wrong, in a line.


def refused(message: str, *arguments: str) -> None:
    assert_refused(message, "serve", "tests.cli.app:application", *arguments)


def test_a_key_without_a_certificate(pem: Certificates) -> None:
    message = "--ssl-keyfile needs its certificate: add --ssl-certfile"
    refused(message, "--ssl-keyfile", pem.key)


def test_a_file_that_cannot_be_read(pem: Certificates) -> None:
    gone, folder = f"{pem.folder}/gone.pem", str(pem.folder)
    message = f"cannot read --ssl-certfile {gone}: No such file or directory"
    refused(message, "--ssl-certfile", gone)
    message = f"cannot read --ssl-keyfile {folder}: Is a directory"
    refused(message, "--ssl-certfile", pem.certificate, "--ssl-keyfile", folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    closed = tmp_path / "closed.pem"
    closed.touch(mode=0)
    message = f"cannot read --ssl-certfile {closed}: Permission denied"
    refused(message, "--ssl-certfile", str(closed))


def test_files_that_do_not_hold_what_they_should(pem: Certificates) -> None:
    message = f"there is no certificate in PEM format in {pem.text}"
    refused(message, "--ssl-certfile", pem.text, "--ssl-keyfile", pem.key)
    message = f"there is no private key in PEM format in {pem.text}"
    refused(message, "--ssl-certfile", pem.certificate, "--ssl-keyfile", pem.text)
    message = (
        f"there is no private key in PEM format in {pem.certificate}: "
        "name its file with --ssl-keyfile"
    )
    refused(message, "--ssl-certfile", pem.certificate)


def test_a_certificate_that_is_damaged(tmp_path: Path, pem: Certificates) -> None:
    damaged = tmp_path / "damaged.pem"
    damaged.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    files = ["--ssl-certfile", str(damaged), "--ssl-keyfile", pem.key]
    result = loom("serve", "tests.cli.app:application", *files)
    assert result.returncode == 2
    start = f"Error: cannot use {damaged} with the private key in {pem.key}: "
    assert result.stderr.startswith(start)
    assert len(result.stderr.splitlines()) == 1


def test_the_key_of_another_certificate(pem: Certificates) -> None:
    message = (
        f"the private key in {pem.other_key} does not belong to the first certificate "
        f"in {pem.certificate}"
    )
    refused(message, "--ssl-certfile", pem.certificate, "--ssl-keyfile", pem.other_key)


def test_an_encrypted_key_without_its_password(
    pem: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = ["--ssl-certfile", pem.certificate, "--ssl-keyfile", pem.encrypted_key]
    refused(f"the private key in {pem.encrypted_key} is encrypted: set {VARIABLE}", *files)
    for wrong in ("another", "x" * 2000):
        monkeypatch.setenv(VARIABLE, wrong)
        refused(f"{VARIABLE} does not decrypt the private key in {pem.encrypted_key}", *files)
