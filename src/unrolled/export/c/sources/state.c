/* Streams: their beginning, and how they are saved. Saved numbers are little-endian on every machine. */

static const unsigned char fingerprint[32] = FINGERPRINT;

static int is_ready(void)
{
#if MODEL_WEIGHTS_BESIDE
    return weights != NULL;
#else
    return 1;
#endif
}

#if MODEL_WEIGHTS_BESIDE
/* The file begins with 8 letters, the number 1.0, which shows the order of bytes, and the fingerprint. */
int MODEL_attach(const void *data, size_t size)
{
    const unsigned char *bytes = data;
    float is_one;
    if (data == NULL || size != WEIGHTS_HEADER + WEIGHTS * sizeof(float) || (uintptr_t)data % sizeof(float) != 0)
        return MODEL_BAD_WEIGHTS;
    memcpy(&is_one, bytes + 8, sizeof is_one);
    if (memcmp(bytes, "UNROLLED", 8) != 0 || is_one != 1.0f || memcmp(bytes + 12, fingerprint, sizeof fingerprint) != 0)
        return MODEL_BAD_WEIGHTS;
    weights = (const float *)(const void *)(bytes + WEIGHTS_HEADER);
    return MODEL_OK;
}
#endif

int MODEL_init(MODEL_state *state)
{
    if (!is_ready())
        return MODEL_NO_WEIGHTS;
    memset(state, 0, sizeof *state);
    for (size_t n = 0; n < LAYERS; n++)
        if (layers[n].initial != NONE)
            memcpy(state->carried + layers[n].state, at(layers[n].initial), layers[n].state_size * sizeof(float));
    return MODEL_OK;
}

static unsigned char *put(unsigned char *out, uint64_t number, int bytes)
{
    for (int n = 0; n < bytes; n++)
        *out++ = (unsigned char)(number >> (8 * n) & 0xFF);
    return out;
}

static uint64_t get(const unsigned char **data, int bytes)
{
    uint64_t number = 0;
    for (int n = 0; n < bytes; n++)
        number |= (uint64_t)*(*data)++ << (8 * n);
    return number;
}

static const unsigned char state_mark[8] = {'U', 'N', 'R', 'S', 'T', 'A', 'T', '1'};

size_t MODEL_state_size(void)
{
    size_t text = MODEL_PENDING ? 4 + MODEL_PENDING : 0;
    return sizeof state_mark + sizeof fingerprint + 8 + 4 * (size_t)MODEL_CARRIED + text;
}

int MODEL_save(const MODEL_state *state, void *out, size_t size)
{
    unsigned char *to = out;
    if (size < MODEL_state_size())
        return MODEL_NO_ROOM;
    memcpy(to, state_mark, sizeof state_mark);
    memcpy(to + sizeof state_mark, fingerprint, sizeof fingerprint);
    to = put(to + sizeof state_mark + sizeof fingerprint, state->steps, 8);
    for (size_t n = 0; n < MODEL_CARRIED; n++) {
        uint32_t bits;
        memcpy(&bits, &state->carried[n], sizeof bits);
        to = put(to, bits, 4);
    }
#if MODEL_PENDING
    to = put(to, state->pending_size, 4);
    memcpy(to, state->pending, MODEL_PENDING);
#endif
    return MODEL_OK;
}

int MODEL_load(MODEL_state *state, const void *data, size_t size)
{
    const unsigned char *from = data;
    if (size < sizeof state_mark + sizeof fingerprint || memcmp(from, state_mark, sizeof state_mark) != 0)
        return MODEL_BAD_STATE;
    if (memcmp(from + sizeof state_mark, fingerprint, sizeof fingerprint) != 0)
        return MODEL_OTHER_MODEL;
    if (size != MODEL_state_size())
        return MODEL_BAD_STATE;
#if MODEL_PENDING
    const unsigned char *text = from + size - MODEL_PENDING - 4;
    uint32_t pending_size = (uint32_t)get(&text, 4);
    if (pending_size > MODEL_PENDING)
        return MODEL_BAD_STATE;
    state->pending_size = pending_size;
    memcpy(state->pending, text, MODEL_PENDING);
#endif
    from += sizeof state_mark + sizeof fingerprint;
    state->steps = get(&from, 8);
    for (size_t n = 0; n < MODEL_CARRIED; n++) {
        uint32_t bits = (uint32_t)get(&from, 4);
        memcpy(&state->carried[n], &bits, sizeof bits);
    }
    return MODEL_OK;
}
