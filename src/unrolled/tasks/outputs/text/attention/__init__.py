"""A text, written by a decoder that looks back at what was read by attention."""
