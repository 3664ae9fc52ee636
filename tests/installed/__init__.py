"""What scripts/test_wheel.py runs: django_loom as users install it."""
