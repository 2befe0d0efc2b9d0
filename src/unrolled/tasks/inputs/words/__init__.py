"""The words of a sentence."""
