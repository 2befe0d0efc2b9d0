"""A text, spelled by connectionist temporal classification: its units in order, wherever they are said."""
