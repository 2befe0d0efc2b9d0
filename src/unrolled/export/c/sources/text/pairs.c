/* Tokens: bytes and pairs of tokens merged, within words that a pattern finds. */

typedef struct {
    int32_t left, right, merged, rank;
} Merge;

/* Sorted by left, then right. */
static const Merge merges[MERGES + 1] = MERGE_TABLE;
static const int32_t byte_tokens[256] = BYTE_TOKENS;

/* A character of text, however broken: its kind, and how many bytes it has. A byte that is no character is one. */
static size_t character(const unsigned char *text, size_t size, int *kind, int *space)
{
    uint32_t code = 0;
    int length = decode(text, size, &code);
    *kind = length > 0 ? kind_of(code) & (LETTER | NUMBER) : 0;
    *space = length > 0 && is_space(code);
    return length > 0 ? (size_t)length : 1;
}

/* The bytes from `begin` on that are characters of one kind; 0 is neither letter, number nor space. */
static size_t run_length(const unsigned char *text, size_t begin, size_t size, int wanted)
{
    size_t end = begin;
    while (end < size) {
        int kind, space;
        size_t length = character(text + end, size - end, &kind, &space);
        if (space || kind != wanted)
            break;
        end += length;
    }
    return end - begin;
}

/* The length of the first word: 's 't 're 've 'm 'll 'd | ?letters | ?numbers | ?others | spaces before a space or the
   end | spaces (GPT-2's pattern). */
static size_t word_length(const unsigned char *text, size_t size)
{
    static const char *const contractions[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t n = 0; n < sizeof contractions / sizeof *contractions; n++) {
        size_t length = strlen(contractions[n]);
        if (size >= length && memcmp(text, contractions[n], length) == 0)
            return length;
    }
    size_t begin = text[0] == ' ' && size > 1 ? 1 : 0;
    int kind, space;
    character(text + begin, size - begin, &kind, &space);
    if (!space)
        return begin + run_length(text, begin, size, kind);
    size_t end = 0, last = 0;
    while (end < size) {
        size_t length = character(text + end, size - end, &kind, &space);
        if (!space)
            break;
        last = end;
        end += length;
    }
    /* the last of several spaces belongs to what follows */
    return end < size && last > 0 ? last : end;
}

static const Merge *merge_of(int32_t left, int32_t right)
{
    size_t low = 0, high = MERGES;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const Merge *merge = &merges[middle];
        if (merge->left < left || (merge->left == left && merge->right < right))
            low = middle + 1;
        else
            high = middle;
    }
    return low < MERGES && merges[low].left == left && merges[low].right == right ? &merges[low] : NULL;
}

/* Read the tokens of one word: of all neighbours those are merged first that were merged first in training. */
static void read_word(MODEL_state *state, const unsigned char *word, size_t size)
{
    int32_t tokens[MODEL_PENDING];
    for (size_t n = 0; n < size; n++)
        tokens[n] = byte_tokens[word[n]];
    for (;;) {
        const Merge *first = NULL;
        size_t place = 0;
        for (size_t n = 0; n + 1 < size; n++) {
            const Merge *merge = merge_of(tokens[n], tokens[n + 1]);
            if (merge != NULL && (first == NULL || merge->rank < first->rank)) {
                first = merge;
                place = n;
            }
        }
        if (first == NULL)
            break;
        tokens[place] = first->merged;
        size--;
        memmove(tokens + place + 1, tokens + place + 2, (size - place - 1) * sizeof *tokens);
    }
    for (size_t n = 0; n < size; n++)
        read_next(state, tokens[n]);
}

/* How many bytes at the end are the beginning of a character. */
static size_t unfinished(const unsigned char *text, size_t size)
{
    for (size_t back = 1; back <= 3 && back <= size; back++) {
        uint32_t code;
        if (text[size - back] >= 0xC0)
            return decode(text + size - back, back, &code) == 0 ? back : 0;
    }
    return 0;
}

/* Read the words that nothing can lengthen any more: all but the last; if `is_over`, that one as well. */
static void read_pending(MODEL_state *state, int is_over)
{
    const unsigned char *text = state->pending;
    size_t done = 0, size = state->pending_size, whole = size - unfinished(text, size), open = whole;
    /* 'l, 'r and 'v may become 'll, 're and 've, which are words of their own */
    if (whole >= 2 && text[whole - 2] == '\'' && strchr("lrv", text[whole - 1]) != NULL && text[whole - 1] != '\0')
        open = whole - 1;
    if (is_over)
        whole = size;
    while (done < whole) {
        size_t length = word_length(text + done, whole - done);
        /* the last word begins before `open`, and the next would not */
        if (!is_over && done + length >= open)
            break;
        read_word(state, text + done, length);
        done += length;
    }
    drop_pending(state, done);
}
