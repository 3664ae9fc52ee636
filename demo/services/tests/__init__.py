"""Tests of the two services."""
