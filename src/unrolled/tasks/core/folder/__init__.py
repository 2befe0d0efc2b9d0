"""A model on disk: its folder, written and read; nothing in it is executed or unpickled."""
