/* Input: frames of features, several a step, beside some that came before; standardised and mapped, with ReLU. */

#define EARLIER (LEFT * MODEL_FEATURES)
#define WINDOW (EARLIER + MODEL_STRIDE * MODEL_FEATURES)

int MODEL_step(MODEL_state *state, const float *frames, size_t count, float *logits)
{
    float window[WINDOW] = {0}, x[INPUT], vector[VECTOR];
    const float *mean = at(FRAME_MEAN), *spread = at(FRAME_SPREAD);
    if (!is_ready())
        return MODEL_NO_WEIGHTS;
    if (count < 1 || count > MODEL_STRIDE)
        return MODEL_BAD_INPUT;
    for (size_t k = 0; k < count * MODEL_FEATURES; k++)
        if (!isfinite(frames[k]))
            return MODEL_BAD_INPUT;
#if LEFT
    float *earlier = state->carried + FRAMES_BEFORE;
    memcpy(window, earlier, EARLIER * sizeof *window);
#endif
    for (size_t k = 0; k < count * MODEL_FEATURES; k++)
        window[EARLIER + k] = (frames[k] - mean[k % MODEL_FEATURES]) / spread[k % MODEL_FEATURES];
#if LEFT
    memcpy(earlier, window + WINDOW - EARLIER, EARLIER * sizeof *earlier);
#endif
    affine(x, at(FRAME_WEIGHT), at(FRAME_BIAS), window, INPUT, WINDOW);
    for (size_t k = 0; k < INPUT; k++)
        x[k] = x[k] > 0.0f ? x[k] : 0.0f;
    run_network(state->carried, state->steps++, x, vector);
    if (logits != NULL)
        write_logits(vector, logits);
    return MODEL_OK;
}
