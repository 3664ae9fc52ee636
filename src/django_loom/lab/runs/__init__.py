"""Running an experiment, and keeping what it gave."""
