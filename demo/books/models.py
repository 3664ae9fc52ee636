"""Authors, their books, what readers say of them, and the courses that read them.

Plain Django models: nothing in them knows of django-loom.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.urls import reverse

from .folding import fold


def _with_search_text(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of ``save()``, with the field added if they name fields."""
    if options.get("update_fields") is None:
        return options
    return {**options, "update_fields": {*options["update_fields"], "search_text"}}


class Author(models.Model):
    """Somebody who wrote books."""

    name = models.CharField(max_length=100, unique=True)
    born = models.PositiveSmallIntegerField("year of birth")
    died = models.PositiveSmallIntegerField("year of death", null=True, blank=True)
    search_text = models.CharField(max_length=200, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def save(self, **options: Any) -> None:
        """Keep what the search looks at in step with the name."""
        self.search_text = fold(self.name)
        super().save(**_with_search_text(options))


class Book(models.Model):
    """A book, with the figures of its reviews, which ``ratings`` keeps right."""

    title = models.CharField(max_length=200)
    slug = models.SlugField(max_length=80, unique=True)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    year = models.PositiveSmallIntegerField("year of publication")
    description = models.TextField()
    search_text = models.TextField(editable=False)
    review_count = models.PositiveIntegerField(default=0, editable=False)
    average_rating = models.FloatField(null=True, editable=False)

    class Meta:
        ordering = ["title", "pk"]

    def __str__(self) -> str:
        return self.title

    def save(self, **options: Any) -> None:
        """Keep what the search looks at in step with the title and the description."""
        self.search_text = fold(f"{self.title}\n{self.description}")
        super().save(**_with_search_text(options))

    def get_absolute_url(self) -> str:
        """Return the address of the book's page."""
        return reverse("books:detail", args=[self.slug])

    @property
    def weave(self) -> int:
        """The number of the pattern on the book's cover, from 1."""
        return (self.pk or 0) % 6 + 1


class Review(models.Model):
    """What one reader says of one book; a second thought replaces the first."""

    book = models.ForeignKey(Book, models.CASCADE, related_name="reviews")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="reviews")
    rating = models.PositiveSmallIntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(5)]
    )
    text = models.TextField("review", max_length=2000)
    created = models.DateTimeField(auto_now_add=True)
    changed = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-changed", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["book", "user"], name="one_review_a_user_and_book"),
            models.CheckConstraint(
                condition=models.Q(rating__range=(1, 5)), name="rating_from_1_to_5"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} on {self.book}"


class Course(models.Model):
    """A course, with the books that are read in it."""

    title = models.CharField(max_length=100)
    slug = models.SlugField(max_length=80, unique=True)
    summary = models.TextField()
    books = models.ManyToManyField(Book, related_name="courses")

    class Meta:
        ordering = ["title"]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        """Return the address of the course's page."""
        return reverse("books:course", args=[self.slug])


class Enrolment(models.Model):
    """A user's place in a course."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="enrolments")
    course = models.ForeignKey(Course, models.CASCADE, related_name="enrolments")
    created = models.DateTimeField("enrolled", auto_now_add=True)

    class Meta:
        ordering = ["course__title"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "course"], name="one_enrolment_a_user_and_course"
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.course}"
