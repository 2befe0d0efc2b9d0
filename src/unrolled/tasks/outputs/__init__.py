"""What a use answers: targets, output and loss layer, decoder, result, metrics and baseline, one folder each."""
