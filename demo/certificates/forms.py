"""What a student can say about the certificate."""

from __future__ import annotations

from django import forms

from .names import LONGEST, clean_name


class NameForm(forms.Form):
    """The name on the certificate. Validating it reads a font file: do that in a thread."""

    name = forms.CharField(
        label="Full name",
        # The field counts before clean_name() composes accents: leave room for those.
        max_length=4 * LONGEST,
        error_messages={
            "required": "Write the name that the certificate is made out to.",
            "max_length": f"Write {LONGEST} characters at most; these are %(show_value)d.",
        },
    )

    def clean_name(self) -> str:
        """Return the name as it is printed."""
        return clean_name(self.cleaned_data["name"])
