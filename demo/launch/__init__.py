"""Brings the demo up and takes it down: its data, its two services and its server."""
