"""Submissions in the admin: to be looked at and deleted. They come by their own page only."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat

from .models import Submission


@admin.register(Submission)
class SubmissionAdmin(admin.ModelAdmin):
    """Shows who handed in what."""

    list_display = ["name", "owner", "kind", "length", "handed_in"]
    list_filter = ["kind", "owner"]
    list_select_related = ["owner"]
    search_fields = ["name", "owner__username"]
    date_hierarchy = "handed_in"

    @admin.display(description="size", ordering="size")
    def length(self, submission: Submission) -> str:
        """The size for people."""
        return filesizeformat(submission.size)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A row without its file would be of no use."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Submission | None = None) -> bool:
        """What was handed in stays as it is."""
        return False
