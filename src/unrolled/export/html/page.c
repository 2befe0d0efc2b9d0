/* A model as a page calls it: one stream, and memory through which text and numbers come in and go out. What a step
   reads is told by the header: what a model lacks is not defined. */

#include <string.h>

#include "model.h"

#define EXPORTED(name) __attribute__((export_name(#name))) name

static model_state state;
static unsigned char saved[64 + 4 * MODEL_CARRIED + MODEL_PENDING];

int EXPORTED(attach)(const void *weights, size_t size) { return model_attach(weights, size); }

int EXPORTED(begin)(void) { return model_init(&state); }

unsigned char *EXPORTED(saved_at)(void) { return saved; }

size_t EXPORTED(saved_size)(void) { return model_state_size(); }

int EXPORTED(save)(void) { return model_save(&state, saved, sizeof saved); }

int EXPORTED(load)(size_t size) { return size > sizeof saved ? MODEL_BAD_STATE : model_load(&state, saved, size); }

#ifdef MODEL_HORIZON
enum { OUTPUTS = MODEL_HORIZON * MODEL_OUTPUTS };
#else
enum { OUTPUTS = MODEL_CLASSES };
#endif
static float outputs[OUTPUTS];

float *EXPORTED(outputs_at)(void) { return outputs; }

int EXPORTED(output_count)(void) { return OUTPUTS; }

#ifndef MODEL_KNOWN
void EXPORTED(softmax)(void) { model_softmax(outputs); }
#endif

#ifdef MODEL_TEXT

enum { ROOM = 1 << 16, SUGGESTIONS = 16 };
static char text[ROOM];
static model_search memory;
static model_suggestion suggestions[SUGGESTIONS];

char *EXPORTED(room_at)(void) { return text; }

size_t EXPORTED(room)(void) { return ROOM; }

int EXPORTED(push)(size_t size) { return size > ROOM ? MODEL_NO_ROOM : model_push(&state, text, size); }

int EXPORTED(logits)(void) { return model_logits(&state, outputs); }

/* How many suggestions there are, or an error; 0 words are as many as the model suggests. */
int EXPORTED(complete)(int words)
{
    model_options options = model_defaults();
    options.max_words = words > 0 ? words : options.max_words;
    return model_complete(&state, &memory, &options, suggestions, SUGGESTIONS);
}

const char *EXPORTED(suggested)(int n) { return suggestions[n].text; }

int EXPORTED(words)(int n) { return suggestions[n].words; }

double EXPORTED(log_prob)(int n) { return suggestions[n].log_prob; }

double EXPORTED(score)(int n) { return suggestions[n].score; }

/* The suggestion worth showing, or −1. */
int EXPORTED(chosen)(int count)
{
#ifdef MODEL_THRESHOLD
    const model_suggestion *best = model_choose(suggestions, count, MODEL_THRESHOLD);
    return best == NULL ? -1 : (int)(best - suggestions);
#else
    return count > 0 ? 0 : -1;
#endif
}

#else

enum { ROOM = 1 << 12 };
static float numbers[ROOM];

float *EXPORTED(room_at)(void) { return numbers; }

size_t EXPORTED(room)(void) { return sizeof numbers; }

#ifdef MODEL_KNOWN

static int32_t channel = -1;
static float described[MODEL_STATIC + 1];

/* Say whose series it is: a channel, shift and scale, and what describes it. */
int EXPORTED(describe)(int count)
{
    if (count != 3 + MODEL_STATIC)
        return MODEL_BAD_INPUT;
    channel = (int32_t)numbers[0];
    memcpy(described, numbers + 3, MODEL_STATIC * sizeof(float));
#ifdef MODEL_OLDEST
    return model_describe(&state, channel, described, numbers[1], numbers[2]);
#else
    return MODEL_OK;
#endif
}

#endif

/* Read the numbers of one step; what comes out is in `outputs`. */
int EXPORTED(step)(int count)
{
    if (count < 1 || count > ROOM)
        return MODEL_BAD_INPUT;
#if defined MODEL_HORIZON
    return count != 1 + MODEL_KNOWN ? MODEL_BAD_INPUT : model_step(&state, numbers[0], numbers + 1);
#elif defined MODEL_KNOWN
    return count != 1 + MODEL_KNOWN ? MODEL_BAD_INPUT : model_step(&state, numbers[0], numbers + 1, outputs);
#elif defined MODEL_STRIDE
    if (count % MODEL_FEATURES != 0 || count > MODEL_STRIDE * MODEL_FEATURES)
        return MODEL_BAD_INPUT;
    return model_step(&state, numbers, (size_t)count / MODEL_FEATURES, outputs);
#elif defined MODEL_FEATURES
    return count != MODEL_FEATURES ? MODEL_BAD_INPUT : model_step(&state, numbers, outputs);
#elif defined MODEL_VOCABULARY
    return count != 1 ? MODEL_BAD_INPUT : model_step(&state, (int32_t)numbers[0], outputs);
#else
    static int32_t parts[ROOM];
    if (count < 3)
        return MODEL_BAD_INPUT;
    model_word word = {(int32_t)numbers[0], (int32_t)numbers[1], (int32_t)numbers[2], parts, (size_t)count - 3};
    for (int n = 3; n < count; n++)
        parts[n - 3] = (int32_t)numbers[n];
    return model_step(&state, &word, outputs);
#endif
}

#ifdef MODEL_HORIZON
/* Forecast, given what is known of the steps to come. */
int EXPORTED(forecast)(int count)
{
    if (count != MODEL_HORIZON * MODEL_KNOWN)
        return MODEL_BAD_INPUT;
    return model_forecast(&state, channel, described, numbers, outputs);
}
#endif

#endif
