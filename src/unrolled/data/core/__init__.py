"""Files, tables, findings, splits and encoded examples: the ground that the readers of every kind of data share."""
