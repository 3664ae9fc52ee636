"""Reads that only take time: database views whose rows the server takes so long to give."""

from django.db import models


class Nap20(models.Model):
    id = models.BigAutoField(primary_key=True)
    nap = models.TextField()

    class Meta:
        managed = False
        db_table = "bench_nap_20"


class Nap100(models.Model):
    id = models.BigAutoField(primary_key=True)
    nap = models.TextField()

    class Meta:
        managed = False
        db_table = "bench_nap_100"
