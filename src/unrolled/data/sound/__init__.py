"""Sound files, log-mel frames and transcripts."""
