"""Numbers for each step."""
