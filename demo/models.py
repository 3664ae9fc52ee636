"""Plain Django models: nothing in them knows of django-loom."""

from django.db import models


class Author(models.Model):
    """Somebody who wrote books."""

    name = models.CharField(max_length=100)


class Book(models.Model):
    """A book, with a lazy relation to its author."""

    title = models.CharField(max_length=200)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
