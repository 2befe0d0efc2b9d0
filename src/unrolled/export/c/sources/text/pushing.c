
int MODEL_push(MODEL_state *state, const char *text, size_t size)
{
    if (!is_ready())
        return MODEL_NO_WEIGHTS;
    if (state->steps == 0)
        read_next(state, START_TOKEN);
    while (size > 0) {
        size_t room = MODEL_PENDING - state->pending_size, some = size < room ? size : room;
        memcpy(state->pending + state->pending_size, text, some);
        state->pending_size += (uint32_t)some;
        text += some;
        size -= some;
        read_pending(state, 0);
        /* a word that fills the memory ends there */
        if (state->pending_size == MODEL_PENDING)
            read_pending(state, 1);
    }
    return MODEL_OK;
}

int MODEL_logits(const MODEL_state *state, float *logits)
{
    if (!is_ready())
        return MODEL_NO_WEIGHTS;
    if (state->steps == 0)
        return MODEL_BAD_INPUT;
    write_logits(state->carried + KEPT, logits);
    return MODEL_OK;
}
