"""Watching training runs: their files as events, and a page beside a run."""
