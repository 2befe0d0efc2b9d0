/* Input: rows of numbers, standardised, on request beside how they differ from the row before, and mapped. */

#define COLUMNS (MODEL_FEATURES * (DIFFERENCES ? 2 : 1))

int MODEL_step(MODEL_state *state, const float *row, float *logits)
{
    float x[COLUMNS], vector[VECTOR];
    const float *mean = at(ROW_MEAN), *spread = at(ROW_SPREAD);
    if (!is_ready())
        return MODEL_NO_WEIGHTS;
    for (size_t k = 0; k < MODEL_FEATURES; k++)
        if (!isfinite(row[k]))
            return MODEL_BAD_INPUT;
    memcpy(x, row, MODEL_FEATURES * sizeof *x);
#if DIFFERENCES
    float *before = state->carried + ROW_BEFORE;
    for (size_t k = 0; k < MODEL_FEATURES; k++)
        x[MODEL_FEATURES + k] = state->steps == 0 ? 0.0f : row[k] - before[k];
    memcpy(before, row, MODEL_FEATURES * sizeof *before);
#endif
    for (size_t k = 0; k < COLUMNS; k++)
        x[k] = (x[k] - mean[k]) / spread[k];
#if MAPPED
    float mapped[INPUT];
    affine(mapped, at(ROW_WEIGHT), at(ROW_BIAS), x, INPUT, COLUMNS);
    run_network(state->carried, state->steps++, mapped, vector);
#else
    run_network(state->carried, state->steps++, x, vector);
#endif
    if (logits != NULL)
        write_logits(vector, logits);
    return MODEL_OK;
}
