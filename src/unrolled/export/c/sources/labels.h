
/* The name of a class, UTF-8; NULL for none. */
const char *MODEL_label(size_t index);
