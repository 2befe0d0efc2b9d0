
/* Read one row of MODEL_FEATURES finite numbers; write the logits (MODEL_CLASSES) after it, unless `logits` is NULL. */
int MODEL_step(MODEL_state *state, const float *row, float *logits);
