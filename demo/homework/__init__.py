"""Homework: files of the students, which go to the disk while they arrive."""
