"""Tests of the area Lab."""
