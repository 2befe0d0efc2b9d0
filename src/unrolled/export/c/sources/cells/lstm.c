/* The long short-term memory; gates i, f, g, o, or f, g, o where i = 1 − f:
       i, f, o = σ(W_ih x + b_ih + W_hh h + b_hh),  g = tanh(…)
       c = f ⊙ c + i ⊙ g,  h = o ⊙ tanh(c)
   With peepholes i and f see the old c, and o the new one. The states are h, then c. */

/* c, and what is left to be known of h: the gate o. `sums` become o in their last block. */
static void cell_states(const Layer *layer, float *sums, const float *c, float *fresh)
{
    size_t size = layer->hidden;
    float *f = sums + (BLOCKS - 3) * size, *g = f + size, *o = g + size;
#if PEEPHOLE
    const float *see_i = at(layer->weight_peephole), *see_f = see_i + (BLOCKS - 3) * size, *see_o = see_f + size;
#endif
    for (size_t k = 0; k < size; k++) {
#if PEEPHOLE
        f[k] += see_f[k] * c[k];
        sums[k] += COUPLED ? 0.0f : see_i[k] * c[k];
#endif
        float forget = sigmoid(f[k]), write = COUPLED ? 1.0f - forget : sigmoid(sums[k]);
        fresh[k] = forget * c[k] + write * tanhf(g[k]);
#if PEEPHOLE
        o[k] += see_o[k] * fresh[k];
#endif
        o[k] = sigmoid(o[k]);
    }
}

static void advance(const Layer *layer, const float *x, float *h)
{
    float sums[BLOCKS * HIDDEN], h_gates[BLOCKS * HIDDEN], fresh_c[HIDDEN], fresh_h[HIDDEN];
    size_t size = layer->hidden;
    float *c = h + layer->output, *o = sums + (BLOCKS - 1) * size;
    input_gates(layer, x, sums);
    recurrent_gates(layer, 0, BLOCKS, h, h_gates);
    for (size_t k = 0; k < BLOCKS * size; k++)
        sums[k] += h_gates[k];
    cell_states(layer, sums, c, fresh_c);
    memcpy(fresh_h, fresh_c, size * sizeof *fresh_h);
#if LAYER_NORM
    normalise(fresh_h, at(layer->norm_c), at(layer->norm_c_bias), size);
#endif
    for (size_t k = 0; k < size; k++)
        fresh_h[k] = o[k] * tanhf(fresh_h[k]);
    settle(c, fresh_c, ZONEOUT_C, size);
#if PROJECTED
    affine(h_gates, at(layer->weight_hr), NULL, fresh_h, layer->output, size);
    settle(h, h_gates, ZONEOUT_H, layer->output);
#else
    settle(h, fresh_h, ZONEOUT_H, size);
#endif
}
