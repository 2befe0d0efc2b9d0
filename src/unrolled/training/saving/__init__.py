"""Checkpoints and the whole state of a run: saved, and resumed to the same losses."""
