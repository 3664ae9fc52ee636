"""The area laboratory of the demo."""
