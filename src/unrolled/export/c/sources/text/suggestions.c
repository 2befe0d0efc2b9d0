/* From what a search noted to suggestions. */

/* Write the text of a candidate without the prefix, and without spaces at its end. Returns its size; 0 where there is
   nothing to show: it ends inside a character, has no word, or is noted elsewhere. */
static size_t spell(const Search *search, const MODEL_candidate *candidate, unsigned char *text, int *words)
{
    size_t size = 0, at_end = MODEL_TEXT, done = 0, kept = 0;
    int inside = 0, line_break = candidate->end >= 0;
    if (candidate->end >= 0) {
        const unsigned char *end = pieces + piece_places[candidate->end];
        kept = tokens[candidate->end].kept;
        at_end -= kept;
        memcpy(text + at_end, end, kept);
        for (size_t n = 0; n < kept; n++)
            line_break = line_break && (end[n] == ' ' || (end[n] >= 9 && end[n] <= 13));
    }
    for (int32_t node = candidate->node; node >= 0; node = search->memory->parents[node]) {
        int32_t token = search->memory->tokens[node];
        size_t length = piece_places[token + 1] - piece_places[token];
        at_end -= length;
        memcpy(text + at_end, pieces + piece_places[token], length);
    }
    at_end += search->prefix_size;
    if (at_end >= MODEL_TEXT)
        return 0;
    size = MODEL_TEXT - at_end;
    memmove(text, text + at_end, size);
    size_t shown = 0;
    *words = 0;
    while (done < size) {
        uint32_t code;
        int length = decode(text + done, size - done, &code);
        if (length <= 0)
            return 0;
        int in_word = (kind_of(code) & OF_WORD) != 0, blank = is_space(code) || (code >= 0x1C && code <= 0x1F);
        *words += in_word && !inside;
        done += (size_t)length;
        inside = in_word;
        shown = blank ? shown : done;
    }
    if (*words == 0 || shown == 0)
        return 0;
    /* a line break after a whole word is counted already among what shows that the word is over */
    size_t last = shown - 1;
    uint32_t code;
    while (last > 0 && (text[last] & 0xC0) == 0x80)
        last--;
    if (line_break && decode(text + last, shown - last, &code) > 0 && kind_of(code) & OF_WORD)
        return 0;
    return shown;
}

static int is_before(const MODEL_candidate *a, const MODEL_candidate *b)
{
    if (a->score != b->score)
        return a->score > b->score;
    if (a->log_prob != b->log_prob)
        return a->log_prob < b->log_prob;
    if (a->words != b->words)
        return a->words < b->words;
    return a->step != b->step ? a->step < b->step : a->end < b->end;
}

/* Sort by insertion: there are few. */
static void sort(MODEL_candidate *candidates, int count)
{
    for (int n = 1; n < count; n++) {
        MODEL_candidate moved = candidates[n];
        int place = n;
        for (; place > 0 && is_before(&moved, &candidates[place - 1]); place--)
            candidates[place] = candidates[place - 1];
        candidates[place] = moved;
    }
}

/* Drop what is too improbable, and make log-probabilities those given the prefix. */
static void settle_candidates(Search *search)
{
    MODEL_candidate *candidates = search->memory->candidates;
    int kept = 0;
    for (int n = 0; n < search->noted; n++) {
        if (candidates[n].log_prob < search->options.min_log_prob + search->covered)
            continue;
        candidates[kept] = candidates[n];
        candidates[kept].log_prob -= search->covered;
        candidates[kept].score = candidates[kept].log_prob / candidates[kept].length;
        kept++;
    }
    search->noted = kept;
    sort(candidates, kept);
}

/* Give each candidate the first of the same text (−1 for one that is not shown), with their probabilities together:
   different tokens that spell the same text exclude each other. Of each number of words only the best are spelled. */
static void join_candidates(Search *search)
{
    MODEL_candidate *candidates = search->memory->candidates;
    int spelled[MODEL_WORDS + 1] = {0};
    for (int n = 0; n < search->noted; n++) {
        MODEL_candidate *candidate = &candidates[n];
        int words, others;
        candidate->same = -1;
        if (spelled[candidate->words]++ >= 4 * search->options.best)
            continue;
        size_t size = spell(search, candidate, search->memory->spelled[0], &words);
        if (size == 0)
            continue;
        candidate->same = n;
        for (int32_t earlier = 0; earlier < n && candidate->same == n; earlier++)
            if (candidates[earlier].same == earlier &&
                spell(search, &candidates[earlier], search->memory->spelled[1], &others) == size &&
                memcmp(search->memory->spelled[0], search->memory->spelled[1], size) == 0)
                candidate->same = earlier;
    }
}

/* The suggestion of all candidates that are the same as the n-th. */
static void suggest(const Search *search, int n, MODEL_suggestion *suggestion)
{
    const MODEL_candidate *candidates = search->memory->candidates, *likeliest = &candidates[n];
    double more = 0.0;
    int words;
    for (int other = n; other < search->noted; other++)
        if (candidates[other].same == n && candidates[other].log_prob > likeliest->log_prob)
            likeliest = &candidates[other];
    for (int other = n; other < search->noted; other++)
        if (candidates[other].same == n)
            more += exp(candidates[other].log_prob - likeliest->log_prob);
    size_t size = spell(search, &candidates[n], search->memory->spelled[0], &words);
    memcpy(suggestion->text, search->memory->spelled[0], size);
    suggestion->text[size] = '\0';
    suggestion->words = words;
    suggestion->log_prob = likeliest->log_prob + log(more);
    suggestion->score = suggestion->log_prob / likeliest->length;
}
