"""Text: documents, mail, labelled texts, words and tokens, and the windows of truncated BPTT."""
