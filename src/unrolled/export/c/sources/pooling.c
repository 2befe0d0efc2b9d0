/* Poolings: one vector of all steps so far. Each has its own part of what is carried. */

enum { LAST, MEAN, MAX, ATTENTION };

typedef struct {
    int kind;
    size_t state;                  /* place in what is carried */
    size_t key, key_bias, score;   /* weights of ATTENTION: tanh(key h + key_bias), times score */
    size_t compared;               /* width of what is compared */
} Pooling;

static const Pooling poolings[] = POOLINGS;

/* A softmax over time that goes on: carried are the largest score so far, the sum of e^(score − it), and that of h
   weighted by it. */
static void pool_by_attention(const Pooling *pooling, float *carried, int is_first, const float *h, float *vector)
{
    float keys[COMPARED], score;
    affine(keys, at(pooling->key), at(pooling->key_bias), h, pooling->compared, OUTPUT);
    for (size_t k = 0; k < pooling->compared; k++)
        keys[k] = tanhf(keys[k]);
    affine(&score, at(pooling->score), NULL, keys, 1, pooling->compared);
    float highest = is_first || score > carried[0] ? score : carried[0];
    float old = is_first ? 0.0f : expf(carried[0] - highest), new = expf(score - highest);
    carried[0] = highest;
    carried[1] = carried[1] * old + new;
    for (size_t k = 0; k < OUTPUT; k++) {
        carried[2 + k] = carried[2 + k] * old + new * h[k];
        vector[k] = carried[2 + k] / carried[1];
    }
}

/* Pool h (OUTPUT) with the steps before it, of which there are `steps`, into `vector`. */
static void pool(float *carried, uint64_t steps, const float *h, float *vector)
{
    for (size_t n = 0; n < sizeof poolings / sizeof *poolings; n++, vector += OUTPUT) {
        const Pooling *pooling = &poolings[n];
        float *own = carried + pooling->state;
        switch (pooling->kind) {
        case MEAN:
            for (size_t k = 0; k < OUTPUT; k++) {
                own[k] += h[k];
                vector[k] = own[k] / (float)(steps + 1);
            }
            break;
        case MAX:
            for (size_t k = 0; k < OUTPUT; k++) {
                own[k] = steps == 0 || h[k] > own[k] ? h[k] : own[k];
                vector[k] = own[k];
            }
            break;
        case ATTENTION:
            pool_by_attention(pooling, own, steps == 0, h, vector);
            break;
        default:
            memcpy(vector, h, OUTPUT * sizeof *h);
        }
    }
}
