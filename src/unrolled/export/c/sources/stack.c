/* The recurrent stack: one step of every layer. */

static void run_stack(float *carried, const float *x, float *y)
{
    float current[WIDTH];
    memcpy(current, x, layers[0].input * sizeof *x);
    for (size_t n = 0; n < LAYERS; n++) {
        const Layer *layer = &layers[n];
        float *state = carried + layer->state;
        advance(layer, current, state);
#if RESIDUAL
        if (layer->input == layer->output) {
            for (size_t k = 0; k < layer->output; k++)
                current[k] += state[k];
            continue;
        }
#endif
        memcpy(current, state, layer->output * sizeof *current);
    }
    memcpy(y, current, OUTPUT * sizeof *y);
}
