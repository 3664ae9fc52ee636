"""Tests of the area Under the hood."""
