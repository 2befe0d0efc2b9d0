/* Takes steps of a stream, for `export.py` to time: natively, and as WebAssembly. */

#include "page.c"

#if defined MODEL_TEXT
#define READ(n) model_step(&state, (int32_t)((n) % MODEL_VOCABULARY), outputs)
#elif defined MODEL_KNOWN
#define READ(n) step(1 + MODEL_KNOWN)
#elif defined MODEL_STRIDE
#define READ(n) step(MODEL_STRIDE * MODEL_FEATURES)
#elif defined MODEL_FEATURES
#define READ(n) step(MODEL_FEATURES)
#elif defined MODEL_VOCABULARY
#define READ(n) step(1)
#else
#define READ(n) step(4)
#endif

int EXPORTED(take)(int steps)
{
#ifdef MODEL_OLDEST
    const float none[MODEL_STATIC + 1] = {0};
    if (state.steps == 0 && model_describe(&state, -1, none, 0.0f, 1.0f) < 0)
        return 1;
#endif
    for (int n = 0; n < steps; n++)
        if (READ(n) < 0)
            return 1;
    return 0;
}

#ifndef __wasm__
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Arguments: the file of weights, its size, and how many steps; writes what nine give, and the nanoseconds of one. */
int main(int count, char **arguments)
{
    size_t size = count > 3 ? (size_t)atol(arguments[2]) : 0;
    int steps = count > 3 ? atoi(arguments[3]) : 0;
    float *weights = malloc(size + 1);
    FILE *file = count > 3 ? fopen(arguments[1], "rb") : NULL;
    if (file == NULL || fread(weights, 1, size, file) != size || attach(weights, size) < 0 || begin() < 0 || take(9))
        return 1;
    for (int n = 0; n < OUTPUTS; n++)
        printf("%.9g ", (double)outputs[n]);
    clock_t start = clock();
    if (take(steps))
        return 2;
    printf("\n%.1f\n", 1e9 * (double)(clock() - start) / CLOCKS_PER_SEC / steps);
    return 0;
}
#endif
