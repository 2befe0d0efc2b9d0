"""The inputs of uses: how each is fitted, encoded, collated, streamed and named, one folder each."""
