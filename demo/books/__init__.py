"""The area books of the demo."""
