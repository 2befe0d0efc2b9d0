
/* Say whose series a stream is, before its first step: the number of its vector, −1 for none; what describes it
   (MODEL_STATIC numbers; NULL where that is 0); and shift and scale, above 0, of its values. */
int MODEL_describe(MODEL_state *state, int32_t channel, const float *described, float shift, float scale);

/* Read the next value, NAN where it is not known, and what is known (MODEL_KNOWN numbers, or NULL) of the step after
   it; write the parameters (MODEL_CLASSES) of the distribution of that step's value, unless they are NULL. The first
   MODEL_OLDEST − 1 values are only kept, for lags to reach back to, and nothing is written after them. */
int MODEL_step(MODEL_state *state, float value, const float *known, float *parameters);
