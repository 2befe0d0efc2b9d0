// The most that a core can do with one instruction set: products in registers, and reads, with nothing else around
// them. CMakeLists.txt compiles this file once for each.
#include "driver/ceiling.hpp"
#include "vec.hpp"

namespace unrolled::UNROLLED_ISA {
namespace {

/// sum += factors · factors; returns the multiply-adds of that product.
template <Factor kind>
UNROLLED_INLINE Index add_product(Vec<float>& sum, Bits<float> factors) {
#if defined(__AVX512BF16__)
    if constexpr (kind == Factor::bfloat16) {
        const auto pairs = reinterpret_cast<__m512bh>(factors);
        sum = _mm512_dpbf16_ps(sum, pairs, pairs);
        return 2 * kLanes<float>;
    }
#endif
#if defined(__AVX512VNNI__)
    if constexpr (kind == Factor::int8) {
        const auto bytes = reinterpret_cast<__m512i>(factors);
        sum = reinterpret_cast<Vec<float>>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum), bytes, bytes));
        return 4 * kLanes<float>;
    }
#endif
    // without such an instruction the factors are widened, and these are the products
    const Vec<float> a = reinterpret_cast<Vec<float>>(factors);
    sum = sum * a + a;
    return kLanes<float>;
}

/// Makes the compiler believe that sums are used.
template <int N>
UNROLLED_INLINE void keep(const Vec<float> (&sums)[N]) {
    Vec<float> total = {};
#pragma GCC unroll 24
    for (int i = 0; i < N; ++i) total = total + sums[i];
    asm volatile("" : : "m"(total));
}

template <Factor kind>
Index multiply_adds(Index rounds) {
    // enough sums to hide the latency of each, and a register for the factors
    constexpr int kSums = UNROLLED_REGISTERS >= 32 ? 24 : 12;
    Vec<float> sums[kSums];
    // different ones: equal sums would be added up once
#pragma GCC unroll 24
    for (int i = 0; i < kSums; ++i) sums[i] = splat<float>(static_cast<float>(i));
    alignas(64) float factors[kLanes<float>];
    for (float& factor : factors) factor = 0.5F;
    Index count = 0;
    for (Index round = 0; round < rounds; ++round) {
        // they may have changed: a product of the same factors would be computed once
        asm volatile("" : "+m"(factors));
        const auto all = reinterpret_cast<Bits<float>>(load(factors));
#pragma GCC unroll 24
        for (int i = 0; i < kSums; ++i) count += add_product<kind>(sums[i], all);
    }
    keep(sums);
    return count;
}

void read_all(const void* from, Index size, Index rounds) {
    constexpr Index kSums = 8, kBlock = kSums * UNROLLED_VECTOR_BYTES;
    Vec<float> sums[kSums] = {};
    const auto* bytes = static_cast<const char*>(from);
    for (Index round = 0; round < rounds; ++round) {
        asm volatile("" : : : "memory");
        for (Index at = 0; at + kBlock <= size; at += kBlock)
#pragma GCC unroll 8
            for (Index i = 0; i < kSums; ++i)
                sums[i] = sums[i] + load(reinterpret_cast<const float*>(bytes + at + i * UNROLLED_VECTOR_BYTES));
    }
    keep(sums);
}

}  // namespace

extern const Probes probes;
const Probes probes = {
    {multiply_adds<Factor::float32>, multiply_adds<Factor::bfloat16>, multiply_adds<Factor::int8>}, read_all};

}  // namespace unrolled::UNROLLED_ISA
