"""The engine put on the loop, as the recipe of `ThreadedDatabaseMixin` says."""
