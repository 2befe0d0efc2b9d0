/* Input: words as the sum of their own vector, the mean of those of their parts, and a map of published ones. Beside
   the network, words may vote for classes. */

#if BUCKETS || VECTORS || VOTES
static void add(float *y, const float *x, float share, size_t size)
{
    for (size_t k = 0; k < size; k++)
        y[k] += share * x[k];
}
#endif

static int is_valid(const MODEL_word *word)
{
    for (size_t n = 0; BUCKETS && n < word->count; n++)
        if (word->parts[n] < 0 || word->parts[n] >= BUCKETS)
            return 0;
    return word->word >= 0 && word->word < VOCABULARY && (!VECTORS || (word->vector >= 0 && word->vector < VECTORS)) &&
           (!PAIRS || (word->pair >= 0 && word->pair < PAIRS));
}

static void embed(const MODEL_word *word, float *x)
{
    memcpy(x, at(WORD_ROWS) + (size_t)word->word * INPUT, INPUT * sizeof *x);
#if BUCKETS
    for (size_t n = 0; n < word->count; n++)
        add(x, at(PART_ROWS) + (size_t)word->parts[n] * INPUT, 1.0f / (float)word->count, INPUT);
#endif
#if VECTORS
    float mapped[INPUT];
    affine(mapped, at(VECTOR_MAP), NULL, at(VECTOR_ROWS) + (size_t)word->vector * VECTOR_SIZE, INPUT, VECTOR_SIZE);
    add(x, mapped, 1.0f, INPUT);
#endif
}

#if VOTES
/* One entry of the linear model: `votes` (MODEL_CLASSES), and after them the sum of the squares of idf. */
static void vote(float *votes, size_t rows, size_t idf, int32_t number)
{
    float weight = at(idf)[number];
    add(votes, at(rows) + (size_t)number * MODEL_CLASSES, weight, MODEL_CLASSES);
    votes[MODEL_CLASSES] += weight * weight;
}
#endif

int MODEL_step(MODEL_state *state, const MODEL_word *word, float *logits)
{
    float x[INPUT], vector[VECTOR];
    if (!is_ready())
        return MODEL_NO_WEIGHTS;
    if (!is_valid(word))
        return MODEL_BAD_INPUT;
    embed(word, x);
    run_network(state->carried, state->steps++, x, vector);
    if (logits != NULL)
        write_logits(vector, logits);
#if VOTES
    float *votes = state->carried + VOTES_SO_FAR;
    vote(votes, VOTE_WORDS, VOTE_WORDS_IDF, word->word);
#if PAIRS
    vote(votes, VOTE_PAIRS, VOTE_PAIRS_IDF, word->pair);
#endif
#if BUCKETS
    for (size_t n = 0; n < word->count; n++)
        vote(votes, VOTE_PARTS, VOTE_PARTS_IDF, word->parts[n]);
#endif
    float weight = votes[MODEL_CLASSES] > 1.0f ? votes[MODEL_CLASSES] : 1.0f;
    if (logits != NULL)
        add(logits, votes, *at(VOTE_SCALE) / sqrtf(weight), MODEL_CLASSES);
#endif
    return MODEL_OK;
}
