"""The answers of uses: targets, output and loss layer, decoder, result, metrics and baseline, one folder each."""
