
/* Read the next value of a series, NAN where it is not known, and what is known of its step (MODEL_KNOWN numbers, or
   NULL where that is 0). A stream keeps the last MODEL_CONTEXT steps. */
int MODEL_step(MODEL_state *state, float value, const float *known);

/* Forecast the next MODEL_HORIZON steps, of each MODEL_OUTPUTS numbers in increasing order, once there were
   MODEL_CONTEXT steps. `channel` is the number of the series' own vector, −1 for none; `described` says what the series
   is (MODEL_STATIC numbers) and `known` what is known of the steps to come (MODEL_HORIZON · MODEL_KNOWN numbers, step by
   step); either may be NULL where there are none. */
int MODEL_forecast(const MODEL_state *state, int32_t channel, const float *described, const float *known,
                   float *forecast);
