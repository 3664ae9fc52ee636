"""Students and their courses, for the tests."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model

from demo.books.models import Course, Enrolment


def make_student(name: str, course: Course, **options: Any) -> Any:
    """Make a user, without a password, who is enrolled in a course."""
    user = get_user_model().objects.create(username=name, **options)
    Enrolment.objects.create(user=user, course=course)
    return user


def make_course(slug: str = "weaving") -> Course:
    """Make a course without books."""
    return Course.objects.create(title="Weaving, Love & Đường tơ", slug=slug, summary="Threads.")
