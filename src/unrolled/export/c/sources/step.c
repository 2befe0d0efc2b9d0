/* From x of the stack to the vector that the output layer reads. */

static void run_network(float *carried, uint64_t steps, const float *x, float *vector)
{
#if POOLED
    float h[OUTPUT];
    run_stack(carried, x, h);
    pool(carried, steps, h, vector);
#else
    (void)steps;
    run_stack(carried, x, vector);
#endif
}
