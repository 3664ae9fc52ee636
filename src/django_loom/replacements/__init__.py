"""What takes the place of foreign names; `reroute.py` puts it there."""
