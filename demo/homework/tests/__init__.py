"""Tests of the homework, with Django's own test client. Those that need a server are elsewhere."""
