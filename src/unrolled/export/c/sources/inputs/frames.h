
/* Read MODEL_STRIDE frames of MODEL_FEATURES finite numbers each, one after the other, which are one step of the
   network; at the end of a stream there may be fewer, at least one. Write the logits (MODEL_CLASSES) after them, unless
   `logits` is NULL. */
int MODEL_step(MODEL_state *state, const float *frames, size_t count, float *logits);
