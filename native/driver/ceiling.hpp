// Probes of the machine, for benchmarks: how many multiply-adds a second, and bytes read a second, there can be.
#pragma once

#include "engine.hpp"

namespace unrolled {

/// What is multiplied; sums are float32, of int8 int32.
enum class Factor : int { float32 = 0, bfloat16 = 1, int8 = 2 };

/// The probes of one instruction set.
struct Probes {
    /// Does so many rounds of products in registers alone; returns their multiply-adds. By Factor.
    Index (*multiply_adds[3])(Index rounds);
    /// Reads an array again and again, but for less than a block at its end.
    void (*read_all)(const void* from, Index bytes, Index rounds);
};

/// Multiplies on each of `threads` threads; returns the multiply-adds of all.
Index probe_multiply_adds(Factor factor, Index rounds, Index threads);

/// Reads an array, a part of it on each of `threads` threads.
void probe_reads(const void* from, Index bytes, Index rounds, Index threads);

}  // namespace unrolled
