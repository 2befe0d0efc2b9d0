/* Input: the last value of a series and some before it, what is known of the next step, and whose series it is. The
   last values, scaled, lie newest first; NAN is an unknown one. */

static const size_t lags[] = LAGS;

int MODEL_describe(MODEL_state *state, int32_t channel, const float *described, float shift, float scale)
{
    if (!is_ready())
        return MODEL_NO_WEIGHTS;
    if (!is_known_channel(channel) || !are_finite(described, MODEL_STATIC) || !isfinite(shift) || !isfinite(scale) || scale <= 0.0f)
        return MODEL_BAD_INPUT;
#if WHOSE
    write_whose(channel, described, state->carried + WHOSE_VECTOR);
#else
    (void)described;
#endif
    state->carried[SCALING] = shift;
    state->carried[SCALING + 1] = scale;
    return MODEL_OK;
}

int MODEL_step(MODEL_state *state, float value, const float *known, float *parameters)
{
    float x[INPUT], vector[VECTOR], *values = state->carried + VALUES;
    size_t count = 0;
    if (!is_ready())
        return MODEL_NO_WEIGHTS;
    if (isinf(value) || state->carried[SCALING + 1] <= 0.0f)
        return MODEL_BAD_INPUT;
    if (!are_finite(known, MODEL_KNOWN))
        return MODEL_BAD_INPUT;
    memmove(values + 1, values, (MODEL_OLDEST - 1) * sizeof *values);
    values[0] = (value - state->carried[SCALING]) / state->carried[SCALING + 1];
    if (++state->steps < MODEL_OLDEST)
        return MODEL_OK;
    for (size_t n = 0; n < sizeof lags / sizeof *lags; n++) {
        float seen = values[lags[n] - 1];
        x[count++] = isnan(seen) ? 0.0f : seen;
#if MASKED
        x[count++] = isnan(seen) ? 0.0f : 1.0f;
#endif
    }
#if MODEL_KNOWN
    memcpy(x + count, known, MODEL_KNOWN * sizeof *x);
    count += MODEL_KNOWN;
#endif
#if WHOSE
    memcpy(x + count, state->carried + WHOSE_VECTOR, WHOSE * sizeof *x);
#endif
    run_stack(state->carried, x, vector);
    if (parameters != NULL)
        write_logits(vector, parameters);
    return MODEL_OK;
}
