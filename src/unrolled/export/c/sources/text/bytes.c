/* Tokens: bytes, each one more than its value. */

static void read_pending(MODEL_state *state, int is_over)
{
    (void)is_over;
    for (size_t n = 0; n < state->pending_size; n++)
        read_next(state, state->pending[n] + 1);
    drop_pending(state, state->pending_size);
}
