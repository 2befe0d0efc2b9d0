"""A search for the settings of a use that are best for some data: its space, its trials, and who chooses them."""
