
/* Read one token, 0 to below MODEL_VOCABULARY; write the logits (MODEL_CLASSES) after it, unless `logits` is NULL. */
int MODEL_step(MODEL_state *state, int32_t token, float *logits);
