"""SQLite on the loop; each connection's calls run in a thread of its own."""
