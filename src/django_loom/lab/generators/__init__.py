"""Other load generators, and how exact ours is."""
