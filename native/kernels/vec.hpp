// Vectors: one register of scalars, through the vector extensions of GCC and Clang.
//
// This header is compiled once for each instruction set (UNROLLED_ISA names it, UNROLLED_VECTOR_BYTES is the width of
// its registers). All of it is in a namespace of that name and inlined, so that no function compiled for a wider set is
// ever linked into a narrower one.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#ifndef UNROLLED_ISA
#error "UNROLLED_ISA and UNROLLED_VECTOR_BYTES are set by CMakeLists.txt"
#endif

#define UNROLLED_INLINE inline __attribute__((always_inline))
#define UNROLLED_INLINE_LAMBDA __attribute__((always_inline))

namespace unrolled::UNROLLED_ISA {

using Index = std::int64_t;

template <class S>
struct VectorOf;

template <>
struct VectorOf<float> {
    typedef float Values __attribute__((vector_size(UNROLLED_VECTOR_BYTES)));
    typedef std::int32_t Bits __attribute__((vector_size(UNROLLED_VECTOR_BYTES)));
    typedef std::uint32_t Words __attribute__((vector_size(UNROLLED_VECTOR_BYTES)));
    typedef float Unaligned __attribute__((vector_size(UNROLLED_VECTOR_BYTES), aligned(4), may_alias));
};

template <>
struct VectorOf<double> {
    typedef double Values __attribute__((vector_size(UNROLLED_VECTOR_BYTES)));
    typedef std::int64_t Bits __attribute__((vector_size(UNROLLED_VECTOR_BYTES)));
    typedef double Unaligned __attribute__((vector_size(UNROLLED_VECTOR_BYTES), aligned(8), may_alias));
};

/// A register of S, and the integers of the same width that comparisons return.
template <class S>
using Vec = typename VectorOf<S>::Values;
template <class S>
using Bits = typename VectorOf<S>::Bits;

/// The number of S in a register.
template <class S>
inline constexpr Index kLanes = UNROLLED_VECTOR_BYTES / sizeof(S);

template <class S>
UNROLLED_INLINE Vec<S> splat(S value) {
    // x − 0 is x to the bit, −0 and NaN included, so this is a plain broadcast
    return value - Vec<S>{};
}

template <class S>
UNROLLED_INLINE Vec<S> load(const S* from) {
    return *reinterpret_cast<const typename VectorOf<S>::Unaligned*>(from);
}

template <class S>
UNROLLED_INLINE void store(S* to, Vec<S> v) {
    *reinterpret_cast<typename VectorOf<S>::Unaligned*>(to) = v;
}

/// Loads the first `n` lanes and sets the others to zero; reads nothing beyond them.
template <class S>
UNROLLED_INLINE Vec<S> load(const S* from, Index n) {
    if (n >= kLanes<S>) return load(from);
    alignas(UNROLLED_VECTOR_BYTES) S lanes[kLanes<S>] = {};
    std::memcpy(lanes, from, static_cast<std::size_t>(n) * sizeof(S));
    return load(lanes);
}

/// Stores the first `n` lanes; writes nothing beyond them.
template <class S>
UNROLLED_INLINE void store(S* to, Vec<S> v, Index n) {
    if (n >= kLanes<S>) return store(to, v);
    alignas(UNROLLED_VECTOR_BYTES) S lanes[kLanes<S>];
    store(lanes, v);
    std::memcpy(to, lanes, static_cast<std::size_t>(n) * sizeof(S));
}

/// A bfloat16: the upper half of a float. Two with consecutive k share 32 bits, the first in the lower half, so that a
/// shift and a mask widen a whole register of them.
struct Narrow {
    std::uint16_t bits;
};

/// Rounds to the nearest bfloat16, ties to even; a NaN stays a NaN.
UNROLLED_INLINE std::uint32_t narrowed(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffU) > 0x7f800000U) return (bits >> 16) | 0x40U;
    return (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
}

/// Likewise for each lane.
UNROLLED_INLINE VectorOf<float>::Words narrowed(Vec<float> v) {
    typedef VectorOf<float>::Words Words;
    const Words bits = reinterpret_cast<Words>(v);
    const Words rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
    return v != v ? (bits >> 16) | 0x40U : rounded;
}

/// Two rows of floats as pairs.
UNROLLED_INLINE Bits<float> pairs_of(Vec<float> first, Vec<float> second) {
    return reinterpret_cast<Bits<float>>(narrowed(first) | narrowed(second) << 16);
}

/// Stores a register of floats as bfloat16; a denormal number may become zero.
UNROLLED_INLINE void store(Narrow* to, Vec<float> v) {
#if defined(__AVX512BF16__)
    const __m256bh halves = _mm512_cvtneps_pbh(v);
#else
    typedef std::uint16_t Halves __attribute__((vector_size(UNROLLED_VECTOR_BYTES / 2)));
    const Halves halves = __builtin_convertvector(narrowed(v), Halves);
#endif
    std::memcpy(to, &halves, sizeof halves);
}

/// A pair of a row in every lane.
UNROLLED_INLINE Bits<float> splat_pair(const Narrow* pair) {
    std::int32_t both;
    std::memcpy(&both, pair, sizeof both);
    return both - Bits<float>{};
}

/// The first and the second bfloat16 of each pair, as floats.
UNROLLED_INLINE Vec<float> first_of(Bits<float> pairs) { return reinterpret_cast<Vec<float>>(pairs << 16); }
UNROLLED_INLINE Vec<float> second_of(Bits<float> pairs) {
    return reinterpret_cast<Vec<float>>(pairs & static_cast<std::int32_t>(0xffff0000U));
}

/// Prefetches `count` scalars that will be read soon; null is allowed.
template <class S>
UNROLLED_INLINE void prefetch_reads(const S* from, Index count) {
    if (from == nullptr) return;
    for (Index i = 0; i < count; i += static_cast<Index>(64 / sizeof(S))) __builtin_prefetch(from + i, 0, 3);
}

/// Prefetches `count` scalars that will be written soon; null is allowed.
template <class S>
UNROLLED_INLINE void prefetch_writes(S* to, Index count) {
    if (to == nullptr) return;
    for (Index i = 0; i < count; i += static_cast<Index>(64 / sizeof(S))) __builtin_prefetch(to + i, 1, 3);
}

}  // namespace unrolled::UNROLLED_ISA
