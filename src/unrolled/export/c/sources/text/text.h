
/* Read text, UTF-8, which may be cut anywhere, within a character too. A stream's first text is read as the beginning
   of one. A token is read once nothing that may follow can change it; what is not yet certain is kept in the state. */
int MODEL_push(MODEL_state *state, const char *text, size_t size);

/* Write the logits (MODEL_CLASSES) after the tokens that were read; before any, MODEL_BAD_INPUT. */
int MODEL_logits(const MODEL_state *state, float *logits);

/* The bytes of a token, which need not be whole characters; NULL for none. */
const unsigned char *MODEL_token(int32_t token, size_t *size);

/* How completions are searched for. */
typedef struct {
    int beam;             /* hypotheses that are followed, 1 to MODEL_BEAM */
    int max_tokens;       /* of a suggestion, 1 to MODEL_TOKENS */
    int max_words;        /* of a suggestion, 1 to MODEL_WORDS */
    int best;             /* suggestions kept of each number of words, at least 1 */
    double min_log_prob;  /* less probable hypotheses are given up, nats */
} MODEL_options;

/* What may come next. */
typedef struct {
    char text[MODEL_TEXT]; /* to insert after what was typed; ends with a zero byte */
    int words;             /* in it; the rest of a word that is completed is one */
    double log_prob;       /* that the text goes on with exactly these words, nats */
    double score;          /* log_prob by the number of tokens it covers: nats a token */
} MODEL_suggestion;

typedef struct {
    double log_prob;
    int32_t node; /* its last token */
    int32_t mode; /* 2 · words begun + whether its last character is of a word */
} MODEL_hypothesis;

typedef struct {
    double log_prob, score;
    int32_t node, end, words, length, step, same;
} MODEL_candidate;

/* Memory of a search; nothing in it matters before or after. */
typedef struct {
    float carried[2][MODEL_BEAM][MODEL_CARRIED];
    float logits[MODEL_CLASSES];
    MODEL_state settled;
    MODEL_hypothesis beam[2][MODEL_BEAM];
    int32_t from[MODEL_BEAM]; /* the hypothesis that each new one goes on from */
    int32_t tokens[MODEL_BEAM * MODEL_TOKENS], parents[MODEL_BEAM * MODEL_TOKENS];
    MODEL_candidate candidates[2 * MODEL_BEAM * (MODEL_TOKENS + 1)];
    unsigned char spelled[2][MODEL_TEXT];
} MODEL_search;

/* The options that the model suggests with. */
MODEL_options MODEL_defaults(void);

/* Find the most probable ways in which the text goes on, best score first.

   `options` may be NULL. Returns how many there are in `suggestions`, at most `room`, or an error. */
int MODEL_complete(const MODEL_state *state, MODEL_search *memory, const MODEL_options *options,
                   MODEL_suggestion *suggestions, int room);

/* The longest suggestion whose score reaches a threshold, nats a token, or NULL. MODEL_THRESHOLD is the one that was
   fitted, where there is one. */
const MODEL_suggestion *MODEL_choose(const MODEL_suggestion *suggestions, int count, double threshold);
