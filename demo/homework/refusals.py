"""Why homework is not taken: each reason has a status of HTTP and a sentence for the student."""

from __future__ import annotations

from django.template.defaultfilters import filesizeformat


class Refused(Exception):
    """A file is not taken. The message is shown to whoever sent it.

    :param status: the answer's status of HTTP.
    :param message: what is wrong, and what to do.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def no_file() -> Refused:
    """The form has no file, or one without a usable name."""
    return Refused(400, "No file came with the form, or one without a name. Choose a file first.")


def empty_file() -> Refused:
    """The file has no bytes."""
    return Refused(400, "This file is empty. Save it again where you wrote it, then hand it in.")


def several_files() -> Refused:
    """The form has more than one file."""
    return Refused(400, "Hand in one file at a time, or put them into one ZIP archive.")


def broken_upload() -> Refused:
    """The form is no valid multipart/form-data, or ends in the middle of the file."""
    return Refused(400, "The upload arrived broken, so nothing of it was kept. Send it again.")


def broken_archive() -> Refused:
    """A ZIP archive, or an office document, has no end."""
    return Refused(415, "This archive or document is damaged: its end is missing.")


def too_large(limit: int | None) -> Refused:
    """The request exceeds what the server takes, ``limit`` bytes."""
    most = f" {filesizeformat(limit)} is the most that is taken." if limit else ""
    return Refused(413, f"This file is too large.{most}")


def too_slow() -> Refused:
    """The client has stopped to send."""
    return Refused(408, "The upload came too slowly, so it was given up. Send it again.")


def name_taken(name: str) -> Refused:
    """The student has a file of that name."""
    return Refused(
        409,
        f"You have handed in a file named {name} already. Delete that one first, "
        "or give this one another name.",
    )


def too_many(limit: int) -> Refused:
    """The student has as many files as there may be."""
    return Refused(409, f"You have handed in {limit} of {limit} files. Delete one first.")


def not_stored() -> Refused:
    """The storage has failed, mostly as it is full."""
    return Refused(507, "The server could not store the file. It is not your fault: try it later.")


def not_from_here() -> Refused:
    """The CSRF check has failed."""
    return Refused(403, "This page is out of date. Load it again, then hand in your file.")


def not_logged_in() -> Refused:
    """Nobody is logged in."""
    return Refused(401, "You are not logged in any more. Log in, then hand in your file.")
