"""The frames of a clip."""
