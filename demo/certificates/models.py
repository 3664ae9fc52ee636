"""Certificates, as they were issued."""

from __future__ import annotations

import hashlib
import secrets

from django.db import models

from demo.books.models import Enrolment

from .names import LONGEST


def new_number() -> str:
    """Return a number for a certificate, which nobody can guess."""
    return secrets.token_hex(8)


class Certificate(models.Model):
    """The certificate of an enrolment: one, whose PDF is made anew when the name changes.

    The PDF lies in the database, beside the name that is on it: it is less than 100 KiB, both are
    written in one statement, and there are no files to lose or to sweep up. It is made once
    and kept, because a client that gets it in ranges must get parts of the same bytes;
    a PDF made again has another time, and another place for everything.
    """

    enrolment = models.OneToOneField(Enrolment, models.CASCADE, related_name="certificate")
    number = models.CharField(max_length=16, unique=True, default=new_number, editable=False)
    name = models.CharField("name on it", max_length=LONGEST)
    issued = models.DateTimeField()
    pdf = models.BinaryField()

    class Meta:
        ordering = ["-issued"]

    def __str__(self) -> str:
        return f"{self.name}: {self.enrolment.course}"

    @property
    def etag(self) -> str:
        """The validator of the PDF: other bytes have another one, in all processes."""
        return f'"{hashlib.sha256(self.pdf).hexdigest()[:32]}"'
