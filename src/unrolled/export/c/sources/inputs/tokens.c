/* Input: tokens, each a row of the embedding. */

static void read_token(float *carried, uint64_t steps, int32_t token, float *vector)
{
    run_network(carried, steps, at(EMBEDDING) + (size_t)token * INPUT, vector);
#if MODEL_PENDING
    /* so that logits can be had later */
    memcpy(carried + KEPT, vector, VECTOR * sizeof *vector);
#endif
}

int MODEL_step(MODEL_state *state, int32_t token, float *logits)
{
    float vector[VECTOR];
    if (!is_ready())
        return MODEL_NO_WEIGHTS;
    if (token < 0 || token >= MODEL_VOCABULARY)
        return MODEL_BAD_INPUT;
    read_token(state->carried, state->steps++, token, vector);
    if (logits != NULL)
        write_logits(vector, logits);
    return MODEL_OK;
}
