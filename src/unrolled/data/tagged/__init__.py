"""Tagged text: tokens in columns, JSON lines with spans, and the schemes that make entities of labels."""
