"""The next token: a language model."""
