"""What the site has in it when it is new."""
