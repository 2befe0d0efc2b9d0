/* The gated recurrent unit; gates r, z, n:
       r, z = σ(W_ih x + b_ih + W_hh h + b_hh)
       n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn)), or, where the reset comes before the product,
           tanh(W_in x + b_in + W_hn (r ⊙ h) + b_hn)
       h = (1 − z) ⊙ n + z ⊙ h */

static void advance(const Layer *layer, const float *x, float *h)
{
    float x_gates[3 * HIDDEN], h_gates[3 * HIDDEN], fresh[HIDDEN];
    size_t size = layer->hidden;
    float *r = x_gates, *z = x_gates + size, *n = x_gates + 2 * size, *h_n = h_gates + 2 * size;
    input_gates(layer, x, x_gates);
#if RESET_AFTER
    recurrent_gates(layer, 0, 3, h, h_gates);
#else
    recurrent_gates(layer, 0, 2, h, h_gates);
#endif
    for (size_t k = 0; k < size; k++) {
        r[k] = sigmoid(r[k] + h_gates[k]);
        z[k] = sigmoid(z[k] + h_gates[size + k]);
    }
#if !RESET_AFTER
    for (size_t k = 0; k < size; k++)
        fresh[k] = r[k] * h[k];
    recurrent_gates(layer, 2, 1, fresh, h_n);
#endif
    for (size_t k = 0; k < size; k++) {
        float proposed = tanhf(n[k] + (RESET_AFTER ? r[k] * h_n[k] : h_n[k]));
        fresh[k] = proposed + z[k] * (h[k] - proposed);
    }
    settle(h, fresh, ZONEOUT_H, size);
}
