/* Reads pieces of text, each after its size, and writes after each piece the logits as raw numbers, and what completes
   the text: how many suggestions, and of each words, log_prob, score, and the text after its size. A piece of size −1
   begins anew, one of size −2 saves the stream and goes on from what was saved. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

static unsigned char saved[1 << 16];
static char piece[1 << 14];
static float logits[MODEL_CLASSES];
static model_search memory;
static model_suggestion suggestions[64];

static void write_suggestions(const model_state *state, const model_options *options)
{
    int32_t count = model_complete(state, &memory, options, suggestions, 64);
    fwrite(&count, sizeof count, 1, stdout);
    for (int32_t n = 0; n < count; n++) {
        int32_t sizes[2] = {suggestions[n].words, (int32_t)strlen(suggestions[n].text)};
        double numbers[2] = {suggestions[n].log_prob, suggestions[n].score};
        fwrite(sizes, sizeof sizes, 1, stdout);
        fwrite(numbers, sizeof numbers, 1, stdout);
        fwrite(suggestions[n].text, 1, (size_t)sizes[1], stdout);
    }
}

int main(int count, char **arguments)
{
    model_state state, other;
    model_options options = model_defaults();
    int32_t size;
    if (count < 5 || model_init(&state) != MODEL_OK || model_logits(&state, logits) != MODEL_BAD_INPUT)
        return 2;
    options.beam = atoi(arguments[1]);
    options.max_words = atoi(arguments[2]);
    options.best = atoi(arguments[3]);
    options.min_log_prob = atof(arguments[4]);
    while (fread(&size, sizeof size, 1, stdin)) {
        if (size == -1) {
            if (model_init(&state) != MODEL_OK)
                return 3;
            continue;
        }
        if (size == -2) {
            if (model_save(&state, saved, sizeof saved) != MODEL_OK || model_init(&other) != MODEL_OK)
                return 4;
            if (model_load(&other, saved, model_state_size()) != MODEL_OK)
                return 5;
            state = other;
            continue;
        }
        if (fread(piece, 1, (size_t)size, stdin) != (size_t)size || model_push(&state, piece, (size_t)size) != MODEL_OK)
            return 6;
        if (model_logits(&state, logits) != MODEL_OK)
            return 7;
        fwrite(logits, sizeof logits, 1, stdout);
        write_suggestions(&state, &options);
    }
    return 0;
}
