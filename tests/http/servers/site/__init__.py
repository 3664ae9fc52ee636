"""A Django site that tells what its requests have met."""
