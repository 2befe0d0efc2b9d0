"""Output and loss layers: logits, CRF, CTC, likelihoods."""
