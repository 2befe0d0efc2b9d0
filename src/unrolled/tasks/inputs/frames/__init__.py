"""The frames of a clip, or rows of features."""
