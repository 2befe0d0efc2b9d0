/* Text as it comes. */

static const uint32_t piece_places[MODEL_CLASSES + 1] = PIECE_PLACES;
static const unsigned char pieces[] = PIECES;

const unsigned char *MODEL_token(int32_t token, size_t *size)
{
    *size = 0;
    if (token < 0 || token >= MODEL_VOCABULARY)
        return NULL;
    *size = piece_places[token + 1] - piece_places[token];
    return pieces + piece_places[token];
}

static void read_next(MODEL_state *state, int32_t token)
{
    float vector[VECTOR];
    read_token(state->carried, state->steps++, token, vector);
}

static void drop_pending(MODEL_state *state, size_t size)
{
    state->pending_size -= (uint32_t)size;
    memmove(state->pending, state->pending + size, state->pending_size);
}
