"""Reports of an outcome, for people and for programs."""
