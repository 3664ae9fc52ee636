"""What figures say, and what they do not."""
