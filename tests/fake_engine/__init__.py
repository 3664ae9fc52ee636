"""A database ENGINE whose driver blocks its thread, as Oracle's and many others do."""
