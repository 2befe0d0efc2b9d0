// A number made of every bit of an array. If a single element changes, so does the number; if several do, two numbers
// are equal by chance only.
#pragma once

#include "vec.hpp"

namespace unrolled::UNROLLED_ISA {

inline std::uint64_t digest(const void* from, Index size) {
    typedef std::uint32_t Words __attribute__((vector_size(UNROLLED_VECTOR_BYTES)));
    typedef std::uint32_t Unaligned __attribute__((vector_size(UNROLLED_VECTOR_BYTES), aligned(4), may_alias));
    // as many as a multiplication takes cycles, so that reading memory is what takes the time
    constexpr Index kSums = 8;
    constexpr Index kBlock = kSums * UNROLLED_VECTOR_BYTES;
    // the prime of FNV-1a: multiplying by an odd number loses no bit
    constexpr std::uint32_t kPrime = 16777619U;
    Words sums[kSums] = {};
    const auto add = [&](const char* block) {
#pragma GCC unroll 8
        for (Index i = 0; i < kSums; ++i)
            sums[i] = (sums[i] ^ *reinterpret_cast<const Unaligned*>(block + i * UNROLLED_VECTOR_BYTES)) * kPrime;
    };
    const char* bytes = static_cast<const char*>(from);
    const Index whole = size - size % kBlock;
    for (Index i = 0; i < whole; i += kBlock) add(bytes + i);
    if (whole < size) {
        alignas(UNROLLED_VECTOR_BYTES) char rest[kBlock] = {};
        std::memcpy(rest, bytes + whole, static_cast<std::size_t>(size - whole));
        add(rest);
    }
    std::uint64_t mixed = static_cast<std::uint64_t>(size);
    for (const Words& sum : sums)
        for (Index lane = 0; lane < kLanes<float>; ++lane) mixed = (mixed ^ sum[lane]) * 0x9e3779b97f4a7c15U + 1;
    return mixed;
}

}  // namespace unrolled::UNROLLED_ISA
