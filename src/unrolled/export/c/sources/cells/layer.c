/* What the cells share: a layer of the stack, its two affine maps, and activations. */

typedef struct {
    size_t input, hidden, output;              /* widths of x, of the gates, and of h */
    size_t weight_ih, weight_hh, bias_ih, bias_hh;
    size_t norm_ih, norm_hh, norm_c, norm_c_bias; /* of layer norm */
    size_t weight_peephole, weight_hr;         /* peepholes; the projection of h */
    size_t initial;                            /* the learned initial state */
    size_t state, state_size;                  /* where in what is carried the states lie, one after the other */
} Layer;

static const Layer layers[LAYERS] = LAYER_TABLE;

#if SIGMOID
static float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}
#endif

#if LAYER_NORM
/* y = (y − mean) / √(variance + ε) ⊙ scale + shift, in place; shift may be NULL. */
static void normalise(float *y, const float *scale, const float *shift, size_t size)
{
    float mean = 0.0f, variance = 0.0f;
    for (size_t k = 0; k < size; k++)
        mean += y[k];
    mean /= (float)size;
    for (size_t k = 0; k < size; k++)
        variance += (y[k] - mean) * (y[k] - mean);
    float inverse = 1.0f / sqrtf(variance / (float)size + NORM_EPSILON);
    for (size_t k = 0; k < size; k++)
        y[k] = (y[k] - mean) * inverse * scale[k] + (shift == NULL ? 0.0f : shift[k]);
}
#endif

/* The input's share of all gates: W_ih x + b_ih, (GATES · H). */
static void input_gates(const Layer *layer, const float *x, float *gates)
{
    size_t rows = BLOCKS * layer->hidden;
#if LAYER_NORM
    affine(gates, at(layer->weight_ih), NULL, x, rows, layer->input);
    normalise(gates, at(layer->norm_ih), at(layer->bias_ih), rows);
#else
    affine(gates, at(layer->weight_ih), at(layer->bias_ih), x, rows, layer->input);
#endif
}

/* The state's share of `count` gates, from gate `first` on: W_hh h + b_hh. */
static void recurrent_gates(const Layer *layer, size_t first, size_t count, const float *h, float *gates)
{
    size_t begin = first * layer->hidden, rows = count * layer->hidden;
    const float *w = at(layer->weight_hh) + begin * layer->output, *b = at(layer->bias_hh);
    b = b == NULL ? NULL : b + begin;
#if LAYER_NORM
    affine(gates, w, NULL, h, rows, layer->output);
    normalise(gates, at(layer->norm_hh) + begin, b, rows);
#else
    affine(gates, w, b, h, rows, layer->output);
#endif
}

/* Take over a new state; zoneout keeps a share of the old one. */
static void settle(float *state, const float *fresh, float kept, size_t size)
{
    for (size_t k = 0; k < size; k++)
        state[k] = kept * state[k] + (1.0f - kept) * fresh[k];
}
