/* UTF-8, and what kind of character a code point is. */

enum { LETTER = 1, NUMBER = 2, OF_WORD = 4, ENDS_SENTENCE = 8, BREAKS_LINE = 16 };

typedef struct {
    uint32_t first, last;
    int kind;
} Range;

static const Range ranges[RANGES] = RANGE_TABLE;

/* Decode one character. Returns its bytes; 0 where more must come; and −n where the first n are no character. */
static int decode(const unsigned char *text, size_t size, uint32_t *code)
{
    unsigned char lead = text[0], low = 0x80, high = 0xBF;
    int length = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
    if (length == 0)
        return -1;
    *code = length == 1 ? lead : lead & (0xFFu >> (length + 1));
    /* no longer forms than needed, no surrogates, nothing beyond U+10FFFF */
    low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : low;
    high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : high;
    for (int n = 1; n < length; n++) {
        if ((size_t)n == size)
            return 0;
        if (text[n] < low || text[n] > high)
            return -n;
        *code = *code << 6 | (text[n] & 0x3F);
        low = 0x80;
        high = 0xBF;
    }
    return length;
}

static int kind_of(uint32_t code)
{
    size_t low = 0, high = RANGES;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (ranges[middle].last < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < RANGES && ranges[low].first <= code ? ranges[low].kind : 0;
}

/* Whether a character separates words for Unicode; Python's str.rstrip takes four more. */
static int is_space(uint32_t code)
{
    return (code >= 9 && code <= 13) || code == 0x20 || code == 0x85 || code == 0xA0 || code == 0x1680 ||
           (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 || code == 0x202F ||
           code == 0x205F || code == 0x3000;
}
