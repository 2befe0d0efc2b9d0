/* Input: the last steps of a series, several of them put together as one step of the stack. The future is asked for:
   each query goes on from the state after the past, and answers for several steps. */

#define ROW (1 + MODEL_KNOWN)
#define COLUMNS (1 + MASKED + MODEL_KNOWN)
#define PAST_SEGMENTS ((MODEL_CONTEXT + SEGMENT - 1) / SEGMENT)
#define QUERIES ((MODEL_HORIZON + SEGMENT - 1) / SEGMENT)

enum { AS_IT_IS, FROM_LAST, STANDARDISED };

int MODEL_step(MODEL_state *state, float value, const float *known)
{
    float *rows = state->carried + ROWS, *last = rows + (MODEL_CONTEXT - 1) * ROW;
    if (!is_ready())
        return MODEL_NO_WEIGHTS;
    if (isinf(value) || !are_finite(known, MODEL_KNOWN))
        return MODEL_BAD_INPUT;
    memmove(rows, rows + ROW, (MODEL_CONTEXT - 1) * ROW * sizeof *rows);
    last[0] = value;
#if MODEL_KNOWN
    memcpy(last + 1, known, MODEL_KNOWN * sizeof *last);
#endif
    state->steps++;
    return MODEL_OK;
}

/* Shift and scale of the known values; 0 and 1 where there are none. */
static void scaling(const float *rows, float *shift, float *scale)
{
    float count = 0.0f, sum = 0.0f, squares = 0.0f, last = 0.0f;
    for (size_t n = 0; n < MODEL_CONTEXT; n++)
        if (!isnan(rows[n * ROW])) {
            last = rows[n * ROW];
            sum += last;
            count += 1.0f;
        }
    *shift = NORMALISE == FROM_LAST ? last : 0.0f;
    *scale = 1.0f;
    if (NORMALISE != STANDARDISED)
        return;
    count = count < 1.0f ? 1.0f : count;
    *shift = sum / count;
    for (size_t n = 0; n < MODEL_CONTEXT; n++)
        if (!isnan(rows[n * ROW]))
            squares += (rows[n * ROW] - *shift) * (rows[n * ROW] - *shift);
    *scale = sqrtf(squares / count);
    *scale = *scale < LEAST_SCALE ? LEAST_SCALE : *scale;
}

/* Read the whole past into the states of the stack; what is missing at its front is zero. */
static void read_past(const float *rows, float shift, float scale, float *states)
{
    float x[SEGMENT * COLUMNS], mapped[INPUT], y[OUTPUT];
    const float *mean = at(ROW_MEAN), *spread = at(ROW_SPREAD);
    size_t missing = PAST_SEGMENTS * SEGMENT - MODEL_CONTEXT;
    for (size_t n = 0; n < PAST_SEGMENTS * SEGMENT; n++) {
        float *column = x + n % SEGMENT * COLUMNS;
        memset(column, 0, COLUMNS * sizeof *column);
        if (n >= missing) {
            const float *row = rows + (n - missing) * ROW;
            column[0] = isnan(row[0]) ? 0.0f : (row[0] - shift) / scale;
            if (MASKED)
                column[MASKED] = isnan(row[0]) ? 0.0f : 1.0f;
            memcpy(column + 1 + MASKED, row + 1, (ROW - 1) * sizeof *column);
        }
        if (n % SEGMENT != SEGMENT - 1)
            continue;
        for (size_t k = 0; k < SEGMENT * COLUMNS; k++)
            x[k] = (x[k] - mean[k]) / spread[k];
        affine(mapped, at(ROW_WEIGHT), at(ROW_BIAS), x, INPUT, SEGMENT * COLUMNS);
        for (size_t k = 0; k < INPUT; k++)
            mapped[k] = mapped[k] > 0.0f ? mapped[k] : 0.0f;
        run_stack(states, mapped, y);
    }
}

/* The query for the steps of one segment: where it is, whose series it is, and what is known of its steps. */
static void write_query(size_t segment, const float *whose, const float *known, float *query)
{
    memcpy(query, at(POSITIONS) + segment * (INPUT / 2), INPUT / 2 * sizeof *query);
    memcpy(query + INPUT / 2, whose, WHOSE * sizeof *query);
#if MODEL_KNOWN
    float ahead[SEGMENT * MODEL_KNOWN] = {0}, mapped[INPUT];
    size_t first = segment * SEGMENT, left = MODEL_HORIZON - first, steps = left < SEGMENT ? left : SEGMENT;
    memcpy(ahead, known + first * MODEL_KNOWN, steps * MODEL_KNOWN * sizeof *ahead);
    affine(mapped, at(FUTURE_WEIGHT), at(FUTURE_BIAS), ahead, INPUT, SEGMENT * MODEL_KNOWN);
    for (size_t k = 0; k < INPUT; k++)
        query[k] += mapped[k];
#else
    (void)known;
#endif
}

/* Quantiles that crossed are better the other way round. */
static void sort(float *numbers, size_t count)
{
    for (size_t n = 1; n < count; n++)
        for (size_t k = n; k > 0 && numbers[k] < numbers[k - 1]; k--) {
            float moved = numbers[k];
            numbers[k] = numbers[k - 1];
            numbers[k - 1] = moved;
        }
}

int MODEL_forecast(const MODEL_state *state, int32_t channel, const float *described, const float *known,
                   float *forecast)
{
    float whose[WHOSE], query[INPUT], y[OUTPUT], answers[MODEL_CLASSES], shift, scale;
    float states[STACKED], after[STACKED];
    if (!is_ready())
        return MODEL_NO_WEIGHTS;
    if (state->steps < MODEL_CONTEXT || !is_known_channel(channel) || !are_finite(described, MODEL_STATIC) ||
        !are_finite(known, MODEL_HORIZON * MODEL_KNOWN))
        return MODEL_BAD_INPUT;
    write_whose(channel, described, whose);
    memcpy(states, state->carried, sizeof states);
    scaling(state->carried + ROWS, &shift, &scale);
    read_past(state->carried + ROWS, shift, scale, states);
    for (size_t step = 0; step < MODEL_HORIZON; step++, forecast += MODEL_OUTPUTS) {
        if (step % SEGMENT == 0) {
            write_query(step / SEGMENT, whose, known, query);
            memcpy(after, states, sizeof after);
            run_stack(after, query, y);
            write_logits(y, answers);
        }
        for (size_t k = 0; k < MODEL_OUTPUTS; k++)
            forecast[k] = answers[step % SEGMENT * MODEL_OUTPUTS + k];
        sort(forecast, MODEL_OUTPUTS);
        for (size_t k = 0; k < MODEL_OUTPUTS; k++)
            forecast[k] = forecast[k] * scale + shift;
    }
    return MODEL_OK;
}
