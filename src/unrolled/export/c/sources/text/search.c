/* Completion: a beam search for whole words, as a typed text may go on with.

   A hypothesis that has just completed a word is noted, with the probability that the word is over, which is that of
   every token that can show it; and it goes on. So one search gives suggestions of 1, 2, … words. */

/* Of a token: whether it may be suggested, ends a phrase, begins and ends in a word, shows that a word is over. */
enum { SUGGESTED = 1, ENDING = 2, BEGINS_IN_WORD = 4, ENDS_IN_WORD = 8, SEPARATES = 16 };

typedef struct {
    unsigned char traits;
    unsigned short words, kept; /* words that it begins, and how many of its bytes a phrase that it ends shows */
} Token;

static const Token tokens[MODEL_CLASSES] = TOKEN_TABLE;

typedef struct {
    MODEL_search *memory;
    MODEL_options options;
    const unsigned char *prefix; /* bytes that what follows must begin with */
    size_t prefix_size;
    double covered; /* log-probability of all that covers the prefix */
    int noted, nodes;
} Search;

static double log_sum(double a, double b)
{
    double higher = a > b ? a : b;
    return higher == -INFINITY ? higher : higher + log(exp(a - higher) + exp(b - higher));
}

/* Bytes of the prefix that the tokens up to a node leave uncovered. */
static size_t uncovered(const Search *search, int32_t node)
{
    size_t spelled = 0;
    for (; node >= 0; node = search->memory->parents[node]) {
        int32_t token = search->memory->tokens[node];
        spelled += piece_places[token + 1] - piece_places[token];
    }
    return spelled < search->prefix_size ? search->prefix_size - spelled : 0;
}

/* Whether a token fits what is left of the prefix: 2 if it covers it, 1 if it is a beginning of it, else 0. */
static int fit(const Search *search, size_t left, int32_t token)
{
    const unsigned char *wanted = search->prefix + search->prefix_size - left, *piece = pieces + piece_places[token];
    size_t size = piece_places[token + 1] - piece_places[token];
    if (left == 0)
        return 2;
    if (size == 0 || memcmp(wanted, piece, size < left ? size : left) != 0)
        return 0;
    return size >= left ? 2 : 1;
}

static void note(Search *search, const MODEL_hypothesis *from, int32_t end, double log_prob, int length, int step)
{
    MODEL_candidate *candidate = &search->memory->candidates[search->noted];
    if (log_prob == -INFINITY)
        return;
    candidate->log_prob = log_prob;
    candidate->node = from->node;
    candidate->end = end;
    candidate->words = from->mode / 2;
    candidate->length = length;
    candidate->step = step;
    search->noted++;
}

/* Keep the best extensions, best first; of equal ones the first. */
typedef struct {
    double log_prob;
    int32_t parent, token;
} Extension;

static void keep(Extension *best, int *count, int most, double log_prob, int32_t parent, int32_t token)
{
    int place = *count;
    if (log_prob == -INFINITY || (place == most && log_prob <= best[most - 1].log_prob))
        return;
    place = place < most ? (*count)++ : most - 1;
    for (; place > 0 && best[place - 1].log_prob < log_prob; place--)
        best[place] = best[place - 1];
    best[place].log_prob = log_prob;
    best[place].parent = parent;
    best[place].token = token;
}

/* The mode that a token leads to, or −1 where it may not come; a token that ends the phrase leads nowhere. */
static int32_t next_mode(const Search *search, int32_t mode, const Token *token)
{
    int words = mode / 2 + token->words - (mode % 2 && token->traits & BEGINS_IN_WORD ? 1 : 0);
    if (!(token->traits & SUGGESTED) || words > search->options.max_words)
        return -1;
    /* after the last word only what ends the phrase is of use */
    if (!(token->traits & ENDING) && mode / 2 == search->options.max_words && !(token->traits & BEGINS_IN_WORD))
        return -1;
    return 2 * words + (token->traits & ENDS_IN_WORD ? 1 : 0);
}

/* What a hypothesis may go on with, and whether its last word is over. */
static void extend(Search *search, int side, int32_t number, int length, Extension *ends, int *end_count,
                   Extension *best, int *best_count)
{
    MODEL_search *memory = search->memory;
    const MODEL_hypothesis *from = &memory->beam[side][number];
    float *logits = memory->logits, highest;
    double total = 0.0, over = 0.0;
    size_t left = uncovered(search, from->node);
    write_logits(memory->carried[side][number] + KEPT, logits);
    highest = logits[0];
    for (size_t k = 1; k < MODEL_CLASSES; k++)
        highest = logits[k] > highest ? logits[k] : highest;
    for (size_t k = 0; k < MODEL_CLASSES; k++) {
        double share = exp((double)logits[k] - highest);
        total += share;
        over += tokens[k].traits & SEPARATES ? share : 0.0;
    }
    total = log(total) + highest;
    if (length > 0 && from->mode % 2 && left == 0)
        note(search, from, -1, from->log_prob + log(over) + highest - total, length + 1, 2 * length);
    if (length == search->options.max_tokens)
        return;
    for (int32_t token = 0; token < MODEL_VOCABULARY; token++) {
        double log_prob = from->log_prob + logits[token] - total;
        int fits = fit(search, left, token);
        if (left > 0 && fits == 2)
            search->covered = log_sum(search->covered, log_prob);
        int32_t mode = fits ? next_mode(search, from->mode, &tokens[token]) : -1;
        if (mode < 0)
            continue;
        if (!(tokens[token].traits & ENDING))
            keep(best, best_count, search->options.beam, log_prob, number, token);
        else if (mode / 2 > 0)
            keep(ends, end_count, search->options.beam, log_prob, number, token);
    }
}

/* Make the best extensions the hypotheses of the other side; returns how many are left. */
static int advance_beam(Search *search, int side, const Extension *best, int count)
{
    MODEL_search *memory = search->memory;
    int live = 0;
    for (int n = 0; n < count; n++) {
        const MODEL_hypothesis *from = &memory->beam[side][best[n].parent];
        MODEL_hypothesis *to = &memory->beam[!side][live];
        float vector[VECTOR], *carried = memory->carried[!side][live];
        if (best[n].log_prob < search->options.min_log_prob + search->covered)
            continue;
        to->log_prob = best[n].log_prob;
        to->node = search->nodes;
        to->mode = next_mode(search, from->mode, &tokens[best[n].token]);
        memory->tokens[search->nodes] = best[n].token;
        memory->parents[search->nodes++] = from->node;
        memcpy(carried, memory->carried[side][best[n].parent], sizeof memory->carried[side][0]);
        read_token(carried, 0, best[n].token, vector);
        live++;
    }
    return live;
}

static void run_search(Search *search)
{
    MODEL_search *memory = search->memory;
    int side = 0, live = 1;
    memory->beam[0][0].log_prob = 0.0;
    memory->beam[0][0].node = -1;
    memory->beam[0][0].mode = 0;
    memcpy(memory->carried[0][0], memory->settled.carried, sizeof memory->settled.carried);
    for (int length = 0; live > 0; length++) {
        Extension ends[MODEL_BEAM], best[MODEL_BEAM];
        int end_count = 0, best_count = 0;
        for (int32_t n = 0; n < live; n++)
            extend(search, side, n, length, ends, &end_count, best, &best_count);
        if (length == search->options.max_tokens)
            break;
        for (int n = 0; n < end_count; n++) {
            const MODEL_hypothesis *from = &memory->beam[side][ends[n].parent];
            note(search, from, ends[n].token, ends[n].log_prob, length + 1, 2 * length + 1);
        }
        live = advance_beam(search, side, best, best_count);
        side = !side;
    }
}
