/* Elementary operations on vectors. */

/* Sums that are made side by side. */
#define LANES 32

/* No such weights. */
#define NONE ((size_t)-1)

/* Weights by their place; NULL for none. */
static const float *at(size_t place)
{
    return place == NONE ? NULL : weights + place;
}

/* y = W x + b: W of rows × columns, one row after the other; b may be NULL. x and y don't overlap. */
static void affine(float *y, const float *w, const float *b, const float *x, size_t rows, size_t columns)
{
    size_t whole = columns - columns % LANES;
    for (size_t row = 0; row < rows; row++, w += columns) {
        /* several sums side by side, which compilers turn into vector instructions */
        float sums[LANES] = {0}, total = b == NULL ? 0.0f : b[row];
        for (size_t k = 0; k < whole; k += LANES)
            for (size_t j = 0; j < LANES; j++)
                sums[j] += w[k + j] * x[k + j];
        for (size_t k = whole; k < columns; k++)
            total += w[k] * x[k];
        for (size_t width = LANES / 2; width > 0; width /= 2)
            for (size_t j = 0; j < width; j++)
                sums[j] += sums[j + width];
        y[row] = total + sums[0];
    }
}
