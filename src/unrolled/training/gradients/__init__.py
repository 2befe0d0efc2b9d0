"""How the error flows back over time, and the verdict on it."""
