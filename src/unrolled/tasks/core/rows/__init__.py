"""Rows of tables in, predictions beside them out."""
