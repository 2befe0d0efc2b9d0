/* The names of the classes. */

static const char *const labels[MODEL_CLASSES] = LABELS;

const char *MODEL_label(size_t index)
{
    return index < MODEL_CLASSES ? labels[index] : NULL;
}
