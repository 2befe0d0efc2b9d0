"""Watching a run in training: its files as events, and a page of its own."""
