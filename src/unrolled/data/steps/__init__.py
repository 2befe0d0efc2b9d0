"""Recordings whose every step carries a label: rows of features or frames."""
