"""The area under_the_hood of the demo."""
