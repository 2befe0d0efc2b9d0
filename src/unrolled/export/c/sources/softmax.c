/* Probabilities. */

void MODEL_softmax(float *logits)
{
    float highest = logits[0], total = 0.0f;
    for (size_t k = 1; k < MODEL_CLASSES; k++)
        highest = logits[k] > highest ? logits[k] : highest;
    for (size_t k = 0; k < MODEL_CLASSES; k++)
        total += logits[k] = expf(logits[k] - highest);
    for (size_t k = 0; k < MODEL_CLASSES; k++)
        logits[k] /= total;
}
