"""Rows of numbers, one at each step."""
