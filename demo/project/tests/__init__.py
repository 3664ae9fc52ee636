"""Tests of what the whole site shares."""
