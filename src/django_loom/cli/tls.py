"""The certificate of ``loom serve``, looked at before anything is started."""

from __future__ import annotations

import os
import ssl

from .refusal import WrongCall

# A command line can be read by every user of the machine, and stays in the shell's history.
PASSWORD_VARIABLE = "LOOM_SSL_KEYFILE_PASSWORD"


def tls_options(certfile: str | None, keyfile: str | None) -> dict[str, str | None]:
    """Return uvicorn's options for TLS, none if there is no certificate.

    :param certfile: path of the certificate and its chain, in PEM format.
    :param keyfile: path of the private key; None if the certificate's file holds it.
    :raises WrongCall: they cannot be read, decrypted or used with each other.
    """
    if certfile is None:
        if keyfile is not None:
            raise WrongCall("--ssl-keyfile needs its certificate: add --ssl-certfile")
        return {}
    key_path = keyfile or certfile
    if b"CERTIFICATE-----" not in _read("--ssl-certfile", certfile):
        raise WrongCall(f"there is no certificate in PEM format in {certfile}")
    if b"PRIVATE KEY-----" not in _read("--ssl-keyfile", key_path):
        hint = "" if keyfile else ": name its file with --ssl-keyfile"
        raise WrongCall(f"there is no private key in PEM format in {key_path}{hint}")
    password = os.environ.get(PASSWORD_VARIABLE)
    _load(certfile, key_path, password)
    return {
        "ssl_certfile": certfile,
        "ssl_keyfile": keyfile,
        "ssl_keyfile_password": password,
    }


def _read(option: str, path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise WrongCall(f"cannot read {option} {path}: {error.strerror}") from error


def _load(certfile: str, key_path: str, password: str | None) -> None:
    is_encrypted = False

    def give_password() -> str:
        nonlocal is_encrypted
        is_encrypted = True
        return password or ""  # without this function OpenSSL would ask at the terminal

    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certfile, key_path, give_password)
    except (ssl.SSLError, ValueError) as error:  # ValueError: of a password that is too long
        reason = getattr(error, "reason", None)
        if is_encrypted and not password:
            message = f"the private key in {key_path} is encrypted: set {PASSWORD_VARIABLE}"
        elif is_encrypted:
            message = f"{PASSWORD_VARIABLE} does not decrypt the private key in {key_path}"
        elif reason == "KEY_VALUES_MISMATCH":
            message = (
                f"the private key in {key_path} does not belong to the first certificate "
                f"in {certfile}"
            )
        else:
            message = f"cannot use {certfile} with the private key in {key_path}: {error}"
        raise WrongCall(message) from error
