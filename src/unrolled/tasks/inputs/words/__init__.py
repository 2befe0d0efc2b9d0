"""The words of a text, each by itself."""
