"""The standard data sets: what they are, and how they are fetched and checked."""
