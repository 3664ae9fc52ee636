"""Models with one of each relation that the ORM follows."""

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=100, unique=True)
    born = models.DateField(null=True)


class Tag(models.Model):
    name = models.CharField(max_length=50, unique=True)


class Book(models.Model):
    title = models.CharField(max_length=200)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    tags = models.ManyToManyField(Tag, related_name="books")
    notes = GenericRelation("Note")
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)


class Note(models.Model):
    text = models.TextField()
    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.PositiveBigIntegerField()
    target = GenericForeignKey()


class Marker(models.Model):
    """A row that says which task wrote it, to prove that nobody sees another's."""

    owner = models.IntegerField(db_index=True)
    step = models.IntegerField(default=0)
