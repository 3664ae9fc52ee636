"""The area home of the demo."""
