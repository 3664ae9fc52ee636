"""What an experiment measured, and its file."""
