
/* Turn logits (MODEL_CLASSES) into probabilities, in place. */
void MODEL_softmax(float *logits);
