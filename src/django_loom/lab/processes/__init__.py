"""Programs and processes of their own: their core, their loop, their end."""
