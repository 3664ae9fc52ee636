"""Tasks that use the database, cancelled at random moments; see benchmarks/cancel_fuzz.py."""
