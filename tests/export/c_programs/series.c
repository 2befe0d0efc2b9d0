/* Reads what a forecaster reads as raw numbers, saves and loads the stream before step CUT, and writes what it answers
   as raw numbers. */

#include <math.h>
#include <stdio.h>

#include "model.h"

static unsigned char saved[1 << 16];

static float *read_numbers(float *numbers, size_t count)
{
    return fread(numbers, sizeof *numbers, count, stdin) == count ? numbers : NULL;
}

int main(void)
{
    model_state state;
    float described[MODEL_STATIC + 1], value, known[(MODEL_KNOWN + 1) * 64];
    int32_t channel;
    if (model_init(&state) != MODEL_OK || fread(&channel, sizeof channel, 1, stdin) != 1)
        return 2;
    read_numbers(described, MODEL_STATIC);
#if !DIRECT
    float scaling[2], parameters[MODEL_CLASSES];
    read_numbers(scaling, 2);
    if (model_step(&state, 1.0f, known, parameters) != MODEL_BAD_INPUT)
        return 3;
    if (model_describe(&state, channel, described, scaling[0], scaling[1]) != MODEL_OK)
        return 4;
#endif
    for (int step = 0; step < STEPS; step++) {
        if (step == CUT) {
            if (model_save(&state, saved, sizeof saved) != MODEL_OK || model_init(&state) != MODEL_OK)
                return 5;
            if (model_load(&state, saved, model_state_size()) != MODEL_OK)
                return 6;
        }
        read_numbers(&value, 1);
        read_numbers(known, MODEL_KNOWN);
#if DIRECT
        if (model_step(&state, value, known) != MODEL_OK)
            return 7;
#else
        if (model_step(&state, value, known, parameters) != MODEL_OK)
            return 8;
        if (state.steps >= MODEL_OLDEST)
            fwrite(parameters, sizeof parameters, 1, stdout);
#endif
    }
#if DIRECT
    float forecast[MODEL_HORIZON * MODEL_OUTPUTS];
    read_numbers(known, MODEL_HORIZON * MODEL_KNOWN);
    if (model_forecast(&state, channel, described, known, forecast) != MODEL_OK)
        return 9;
    fwrite(forecast, sizeof forecast, 1, stdout);
#endif
    return 0;
}
