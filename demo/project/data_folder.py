"""Where the demo keeps its files, and the key that belongs to them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

DEFAULT = Path(__file__).parents[1] / ".data"


def data_folder() -> Path:
    """Return the folder of the database, the uploads and the reports; it is made if need be.

    ``LOOM_DEMO_DATA`` names another one.

    :raises ImproperlyConfigured: it cannot be made, or nothing can be written there.
    """
    folder = Path(os.environ.get("LOOM_DEMO_DATA") or DEFAULT).resolve()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Sessions, passwords' hashes and homework are nothing for other users of the machine.
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _unusable(folder, PermissionError(errno.EACCES, "it cannot be written to"))
    return folder


def secret_key(folder: Path) -> str:
    """Return the folder's SECRET_KEY; it is made when the folder is new."""
    path = folder / "secret_key"
    fresh = folder / f"secret_key.{os.getpid()}"
    if not path.exists():
        fresh.touch(mode=0o600)
        fresh.write_text(get_random_secret_key())
        try:
            os.link(fresh, path)  # whole or not at all, though two processes begin at once
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text()


def _unusable(folder: Path, error: OSError) -> ImproperlyConfigured:
    return ImproperlyConfigured(
        f"The data folder {folder} cannot be used: {error.strerror}. "
        "Name one that you may write to in LOOM_DEMO_DATA."
    )
