/* The output layer: from a vector to logits. */

static void write_logits(const float *vector, float *logits)
{
#if BRIDGE
    float bridged[BRIDGE];
    affine(bridged, at(BRIDGE_WEIGHT), at(BRIDGE_BIAS), vector, BRIDGE, VECTOR);
    affine(logits, at(OUTPUT_WEIGHT), at(OUTPUT_BIAS), bridged, MODEL_CLASSES, BRIDGE);
#else
    affine(logits, at(OUTPUT_WEIGHT), at(OUTPUT_BIAS), vector, MODEL_CLASSES, VECTOR);
#endif
}
