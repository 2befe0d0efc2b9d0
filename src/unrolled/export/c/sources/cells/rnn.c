/* The vanilla recurrent cell: h = φ(W_ih x + b_ih + W_hh h + b_hh). */

static void advance(const Layer *layer, const float *x, float *h)
{
    float x_gates[HIDDEN], h_gates[HIDDEN];
    input_gates(layer, x, x_gates);
    recurrent_gates(layer, 0, 1, h, h_gates);
    for (size_t k = 0; k < layer->hidden; k++)
        x_gates[k] = ACTIVATION(x_gates[k] + h_gates[k]);
    settle(h, x_gates, ZONEOUT_H, layer->hidden);
}
