"""What a use reads: how an input is fitted, encoded, collated, streamed and named, one folder each."""
