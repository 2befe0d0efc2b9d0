/* What a caller asks for. */

MODEL_options MODEL_defaults(void)
{
    MODEL_options options = {DEFAULT_BEAM, DEFAULT_TOKENS, DEFAULT_WORDS, 3, LEAST_LOG_PROB};
    return options;
}

/* Whether pending text can't be a word that is to be completed: it ends a phrase, or is too long for any. */
static int is_closed(const MODEL_state *state)
{
    size_t done = 0, characters_seen = 0;
    while (done < state->pending_size) {
        uint32_t code;
        int length = decode(state->pending + done, state->pending_size - done, &code);
        if (length > 0 && kind_of(code) & (ENDS_SENTENCE | BREAKS_LINE))
            return 1;
        done += length > 0 ? (size_t)length : 1;
        characters_seen++;
    }
    return characters_seen > LONGEST_WORD;
}

static int is_better(const MODEL_suggestion *a, const MODEL_suggestion *b)
{
    return a->score != b->score ? a->score > b->score : strcmp(a->text, b->text) < 0;
}

/* Put a suggestion in its place; only the best of each number of words stay, and the last one goes where there is no
   room. */
static int insert(MODEL_suggestion *suggestions, int count, int room, int best, const MODEL_suggestion *fresh)
{
    int place = 0, same = 0, last = count;
    for (; place < count && !is_better(fresh, &suggestions[place]); place++)
        same += suggestions[place].words == fresh->words;
    if (same >= best || place == room)
        return count;
    /* the place of the one that goes, or one more */
    for (int n = place; n < count; n++)
        if (suggestions[n].words == fresh->words && ++same == best)
            last = n;
    last = last == room ? room - 1 : last;
    memmove(suggestions + place + 1, suggestions + place, (size_t)(last - place) * sizeof *suggestions);
    suggestions[place] = *fresh;
    return last == count ? count + 1 : count;
}

int MODEL_complete(const MODEL_state *state, MODEL_search *memory, const MODEL_options *options,
                   MODEL_suggestion *suggestions, int room)
{
    Search search = {0};
    int count = 0;
    if (!is_ready())
        return MODEL_NO_WEIGHTS;
    search.memory = memory;
    search.options = options == NULL ? MODEL_defaults() : *options;
    if (search.options.beam < 1 || search.options.beam > MODEL_BEAM || search.options.max_tokens < 1 ||
        search.options.max_tokens > MODEL_TOKENS || search.options.max_words < 1 ||
        search.options.max_words > MODEL_WORDS || search.options.best < 1 || !(search.options.min_log_prob <= 0.0))
        return MODEL_BAD_INPUT;
    if (room < 1)
        return MODEL_NO_ROOM;
    memory->settled = *state;
    if (state->steps == 0)
        read_next(&memory->settled, START_TOKEN);
    if (HEALS && is_closed(state))
        read_pending(&memory->settled, 1);
    search.prefix = memory->settled.pending;
    search.prefix_size = HEALS ? memory->settled.pending_size : 0;
    search.covered = search.prefix_size > 0 ? -INFINITY : 0.0;
    run_search(&search);
    settle_candidates(&search);
    join_candidates(&search);
    for (int n = 0; n < search.noted; n++) {
        MODEL_suggestion fresh;
        if (memory->candidates[n].same != n)
            continue;
        suggest(&search, n, &fresh);
        count = insert(suggestions, count, room, search.options.best, &fresh);
    }
    return count;
}

const MODEL_suggestion *MODEL_choose(const MODEL_suggestion *suggestions, int count, double threshold)
{
    const MODEL_suggestion *chosen = NULL;
    for (int n = 0; n < count; n++) {
        const MODEL_suggestion *other = &suggestions[n];
        if (other->score >= threshold && (chosen == NULL || other->words > chosen->words ||
                                          (other->words == chosen->words && other->score > chosen->score)))
            chosen = other;
    }
    return chosen;
}
