"""The area certificates of the demo."""
