"""Other people's packages, each on a site of its own, with many requests at the same time."""
