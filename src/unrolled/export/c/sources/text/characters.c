/* Tokens: characters. Those that the model has never seen are one token. */

#define REPLACEMENT 0xFFFD

/* Code points and their tokens, in the order of code points. */
static const uint32_t characters[][2] = CHARACTERS;

static int32_t token_of(uint32_t code)
{
    size_t low = 0, high = sizeof characters / sizeof *characters;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (characters[middle][0] < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < sizeof characters / sizeof *characters && characters[low][0] == code ? (int32_t)characters[low][1]
                                                                                      : UNKNOWN_TOKEN;
}

/* Read the pending characters that are whole, and if `is_over` what is left of one that is not. */
static void read_pending(MODEL_state *state, int is_over)
{
    size_t done = 0;
    while (done < state->pending_size) {
        uint32_t code;
        int length = decode(state->pending + done, state->pending_size - done, &code);
        if (length == 0 && !is_over)
            break;
        if (length <= 0)
            code = REPLACEMENT;
        read_next(state, token_of(code));
        done += length == 0 ? state->pending_size - done : (size_t)(length < 0 ? -length : length);
    }
    drop_pending(state, done);
}
