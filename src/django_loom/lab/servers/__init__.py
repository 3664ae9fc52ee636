"""The servers that are measured, and what they need around them."""
