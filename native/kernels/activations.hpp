// exp, sigmoid and tanh on vectors: within 1, 2.5 and 2.5 units in the last place over the whole range; NaN stays NaN.
//
// All three rest on e^x = 2^n · e^r with n = round(x / ln 2), |r| ≤ ln 2 / 2, and e^r − 1 = r + r²·q(r). The
// polynomials q are minimax fits (Remez) of (e^r − 1 − r)/r², weighted for the relative error of e^r:
// 3.1e-9 for float, 3.7e-18 for double. tanh is computed from e^{2|x|} − 1, which keeps its relative accuracy near
// zero.
#pragma once

#include "vec.hpp"

namespace unrolled::UNROLLED_ISA {

template <class S>
struct ExpConstants;

template <>
struct ExpConstants<float> {
    static constexpr float log2e = 1.44269504088896341F;
    // ln 2 in two parts, the first of few enough bits that n · ln2_high is exact
    static constexpr float ln2_high = 0.693359375F;
    static constexpr float ln2_low = -2.12194440054690583e-4F;
    // adding and subtracting it rounds to an integer, which is then in the low bits
    static constexpr float rounder = 12582912.0F;
    static constexpr float limit = 87.0F;
    // beyond it, tanh is 1 to the last bit
    static constexpr float tanh_limit = 9.1F;
    static constexpr int mantissa_bits = 23;
    static constexpr std::int32_t exponent_bias = 127;
    static constexpr float q[] = {0.499999934127109066F, 0.166665201076150392F, 0.0416683941730474193F,
                                  0.00836878043395646094F, 0.00138144688142936823F};
};

template <>
struct ExpConstants<double> {
    static constexpr double log2e = 1.44269504088896340736;
    static constexpr double ln2_high = 0.693147180369123816490;
    static constexpr double ln2_low = 1.90821492927058770002e-10;
    static constexpr double rounder = 6755399441055744.0;
    static constexpr double limit = 708.0;
    static constexpr double tanh_limit = 19.1;
    static constexpr int mantissa_bits = 52;
    static constexpr std::int64_t exponent_bias = 1023;
    static constexpr double q[] = {0.500000000000001072,     0.166666666666664102,   0.0416666666665291861,
                                   0.00833333333349562568,   0.00138888889439233773, 0.000198412695047563584,
                                   0.0000248014927620023335, 2.75575873542809891e-6, 2.76303789049433433e-7,
                                   2.49999604621350882e-8};
};

/// 2^n and e^r − 1, whose product plus 2^n is e^x; |x| must not exceed `limit` by more than rounding (NaN may).
template <class S>
struct ExpParts {
    Vec<S> scale, rest;
};

template <class S>
UNROLLED_INLINE ExpParts<S> exp_parts(Vec<S> x) {
    using C = ExpConstants<S>;
    const Vec<S> shifted = x * C::log2e + C::rounder;
    const Vec<S> n = shifted - C::rounder;
    Vec<S> r = x - n * C::ln2_high;
    r = r - n * C::ln2_low;
    constexpr int terms = sizeof(C::q) / sizeof(S);
    Vec<S> q = splat<S>(C::q[terms - 1]);
#pragma GCC unroll 16
    for (int i = terms - 2; i >= 0; --i) q = q * r + C::q[i];
    const Bits<S> exponent = (reinterpret_cast<Bits<S>>(shifted) + C::exponent_bias) << C::mantissa_bits;
    return {reinterpret_cast<Vec<S>>(exponent), r * r * q + r};
}

/// Limits x to [low, high]; a NaN stays a NaN.
template <class S>
UNROLLED_INLINE Vec<S> clamp(Vec<S> x, S low, S high) {
    x = x > high ? splat<S>(high) : x;
    return x < low ? splat<S>(low) : x;
}

template <class S>
UNROLLED_INLINE Vec<S> sigmoid(Vec<S> x) {
    const ExpParts<S> e = exp_parts<S>(clamp<S>(-x, -ExpConstants<S>::limit, ExpConstants<S>::limit));
    return S(1) / (e.scale * e.rest + e.scale + S(1));
}

template <class S>
UNROLLED_INLINE Vec<S> tanh(Vec<S> x) {
    const Bits<S> bits = reinterpret_cast<Bits<S>>(x);
    const Bits<S> sign = bits & reinterpret_cast<Bits<S>>(splat<S>(S(-0.0)));
    Vec<S> magnitude = reinterpret_cast<Vec<S>>(bits ^ sign);
    magnitude = magnitude > ExpConstants<S>::tanh_limit ? splat<S>(ExpConstants<S>::tanh_limit) : magnitude;
    const ExpParts<S> e = exp_parts<S>(magnitude + magnitude);
    const Vec<S> expm1 = e.scale * e.rest + (e.scale - S(1));
    const Vec<S> y = expm1 / (expm1 + S(2));
    return reinterpret_cast<Vec<S>>(reinterpret_cast<Bits<S>>(y) | sign);
}

/// max(x, 0); a NaN stays a NaN.
template <class S>
UNROLLED_INLINE Vec<S> relu(Vec<S> x) {
    return x < S(0) ? Vec<S>{} : x;
}

}  // namespace unrolled::UNROLLED_ISA
