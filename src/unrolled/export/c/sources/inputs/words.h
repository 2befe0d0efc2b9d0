
/* A word, by the numbers that the model's encoders give it. */
typedef struct {
    int32_t word;          /* in the vocabulary; 0 is the unknown word */
    int32_t vector;        /* its row of the published vectors, 0 for none; read only where the model has some */
    int32_t pair;          /* of the word with the one before it; read only where the model has pairs */
    const int32_t *parts;  /* of its spelling */
    size_t count;          /* how many they are */
} MODEL_word;

/* Read one word; write the logits (MODEL_CLASSES) after it, unless `logits` is NULL. */
int MODEL_step(MODEL_state *state, const MODEL_word *word, float *logits);
