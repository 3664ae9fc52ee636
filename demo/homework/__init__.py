"""The area homework of the demo."""
