"""A label for each step."""
