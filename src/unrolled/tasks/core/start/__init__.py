"""Training that goes on from an older model."""
