/* Reads steps of a stream as raw numbers, saves and loads the stream before step CUT, and writes the logits after each
   step as raw numbers. */

#include <stdio.h>
#include <string.h>

#include "model.h"

static unsigned char saved[1 << 16];
static float logits[MODEL_CLASSES];

#if MODEL_WEIGHTS_BESIDE
static union {
    float aligned;
    unsigned char bytes[1 << 20];
} weights;
#endif

static int read_step(model_state *state)
{
#if defined TOKENS
    int32_t token;
    return fread(&token, sizeof token, 1, stdin) ? model_step(state, token, logits) : 1;
#elif defined ROWS
    float row[MODEL_FEATURES];
    return fread(row, sizeof row, 1, stdin) ? model_step(state, row, logits) : 1;
#elif defined FRAMES
    float frames[MODEL_STRIDE * MODEL_FEATURES];
    int32_t count;
    if (!fread(&count, sizeof count, 1, stdin) || !fread(frames, sizeof *frames * MODEL_FEATURES, (size_t)count, stdin))
        return 1;
    return model_step(state, frames, (size_t)count, logits);
#else
    int32_t numbers[4], parts[64];
    model_word word;
    if (!fread(numbers, sizeof numbers, 1, stdin))
        return 1;
    word.word = numbers[0];
    word.vector = numbers[1];
    word.pair = numbers[2];
    word.count = (size_t)numbers[3];
    word.parts = parts;
    if (fread(parts, sizeof *parts, word.count, stdin) != word.count)
        return 1;
    return model_step(state, &word, logits);
#endif
}

int main(void)
{
    model_state state, other;
    int status;
#if MODEL_WEIGHTS_BESIDE
    FILE *file = fopen(WEIGHTS_FILE, "rb");
    if (file == NULL || model_init(&state) != MODEL_NO_WEIGHTS)
        return 2;
    size_t size = fread(weights.bytes, 1, sizeof weights.bytes, file);
    fclose(file);
    if (model_attach(weights.bytes, size - 1) != MODEL_BAD_WEIGHTS)
        return 3;
    weights.bytes[12] ^= 1;
    if (model_attach(weights.bytes, size) != MODEL_BAD_WEIGHTS)
        return 4;
    weights.bytes[12] ^= 1;
    if (model_attach(weights.bytes, size) != MODEL_OK)
        return 5;
#endif
    if (model_init(&state) != MODEL_OK)
        return 6;
    for (int step = 0;; step++) {
        if (step == CUT) {
            if (model_save(&state, saved, model_state_size() - 1) != MODEL_NO_ROOM)
                return 7;
            if (model_save(&state, saved, sizeof saved) != MODEL_OK || model_init(&other) != MODEL_OK)
                return 8;
            if (model_load(&other, saved, model_state_size() - 1) != MODEL_BAD_STATE)
                return 9;
            saved[8] ^= 1;
            if (model_load(&other, saved, model_state_size()) != MODEL_OTHER_MODEL)
                return 10;
            saved[8] ^= 1;
            saved[0] ^= 1;
            if (model_load(&other, saved, model_state_size()) != MODEL_BAD_STATE)
                return 11;
            saved[0] ^= 1;
            if (model_load(&other, saved, model_state_size()) != MODEL_OK)
                return 12;
            memset(&state, 0, sizeof state);
            state = other;
        }
        status = read_step(&state);
        if (status == 1)
            return 0;
        if (status != MODEL_OK)
            return 20 - status;
        fwrite(logits, sizeof logits, 1, stdout);
    }
}
