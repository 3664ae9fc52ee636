"""Django's view of the tables that `benchmarks.database` creates."""

from django.db import models


class Author(models.Model):
    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=100)

    class Meta:
        managed = False
        db_table = "bench_author"


class Book(models.Model):
    id = models.BigAutoField(primary_key=True)
    title = models.CharField(max_length=200)
    author = models.ForeignKey(Author, models.CASCADE)
    pages = models.IntegerField()
    price = models.DecimalField(max_digits=8, decimal_places=2)
    published = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "bench_book"


class Sale(models.Model):
    id = models.BigAutoField(primary_key=True)
    book = models.ForeignKey(Book, models.CASCADE)
    quantity = models.IntegerField()
    note = models.CharField(max_length=200)

    class Meta:
        managed = False
        db_table = "bench_sale"


class Nap(models.Model):
    """A view whose rows take the server 50 ms each."""

    id = models.BigAutoField(primary_key=True)
    nap = models.TextField()

    class Meta:
        managed = False
        db_table = "bench_nap"
