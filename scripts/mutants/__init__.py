"""Changes one place of a module at a time, and lists the changes that no test notices."""
