/* Whose series it is: a vector of its own, or the mean of all where it has none, and a map of what describes it. */

static int is_known_channel(int32_t channel)
{
    return CHANNELS == 0 || channel < CHANNELS;
}

#if WHOSE
static void write_whose(int32_t channel, const float *described, float *vector)
{
    memset(vector, 0, WHOSE * sizeof *vector);
#if MODEL_STATIC
    affine(vector, at(STATIC_WEIGHT), at(STATIC_BIAS), described, WHOSE, MODEL_STATIC);
#else
    (void)described;
#endif
#if CHANNELS
    const float *own = at(CHANNEL_ROWS) + (size_t)(channel < 0 ? CHANNELS : channel) * WHOSE;
    for (size_t k = 0; k < WHOSE; k++)
        vector[k] += own[k];
#else
    (void)channel;
#endif
}
#endif

static int are_finite(const float *x, size_t size)
{
    for (size_t k = 0; k < size; k++)
        if (!isfinite(x[k]))
            return 0;
    return 1;
}
