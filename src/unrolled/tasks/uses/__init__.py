"""The uses, one declaration each."""
