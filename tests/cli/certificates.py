"""A certificate for this machine, its key, and a client that trusts it."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

PASSWORD = "a secret of the tests"


class Certificates:
    """PEM files in a folder."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        other = authority.issue_cert("127.0.0.1")
        self.client = ssl.create_default_context()
        authority.configure_trust(self.client)
        self.folder = folder
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        key = issued.private_key_pem.bytes()
        self.certificate = self._write("certificate.pem", chain)
        self.key = self._write("key.pem", key)
        self.both = self._write("both.pem", key + chain)
        self.encrypted_key = self._write("encrypted.pem", _encrypted(key))
        self.other_key = self._write("other.pem", other.private_key_pem.bytes())
        self.text = self._write("text.pem", b"not a certificate")

    def _write(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.write_bytes(content)
        return str(path)


def _encrypted(key: bytes) -> bytes:
    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(PASSWORD.encode()),
    )
