"""The admin's page for certificates: to look at, and to revoke."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from .models import Certificate


@admin.register(Certificate)
class CertificateAdmin(admin.ModelAdmin):
    """Certificates as they were issued; a name is changed by the student, who gets a new PDF."""

    list_display = ["name", "enrolment", "number", "issued"]
    list_filter = ["enrolment__course", "issued"]
    list_select_related = ["enrolment__user", "enrolment__course"]
    search_fields = ["name", "number", "enrolment__user__username"]
    fields = ["enrolment", "name", "number", "issued"]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Certificate]:
        """Leave the PDFs where they are."""
        return super().get_queryset(request).defer("pdf")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Leave new ones to their students."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Change nothing: the PDF would say something else."""
        return False
