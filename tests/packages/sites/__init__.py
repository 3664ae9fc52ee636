"""A site for each package: its models, its work, and what its visitors must find."""
