// How kernels are called: on one thread, or in parts on several.
#pragma once

#include <algorithm>

#include "engine.hpp"
#include "runtime/pair.hpp"
#include "runtime/threads.hpp"

#if defined(UNROLLED_X86)
#include <xmmintrin.h>
#endif

namespace unrolled {

/// Flushes denormal numbers to zero in this thread for as long as it lives: a vanishing gradient would otherwise cost a
/// hundred times as much as a plain number.
class FlushDenormals {
public:
#if defined(UNROLLED_X86)
    FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040U); }
    ~FlushDenormals() { _mm_setcsr(saved_); }

private:
    unsigned saved_;
#elif defined(UNROLLED_ARM)
    FlushDenormals() {
        asm volatile("mrs %0, fpcr" : "=r"(saved_));
        asm volatile("msr fpcr, %0" ::"r"(saved_ | (std::uint64_t{1} << 24)));
    }
    ~FlushDenormals() { asm volatile("msr fpcr, %0" ::"r"(saved_)); }

private:
    std::uint64_t saved_;
#endif
};

/// Runs job(scratch) in this thread, as kernels require: denormal numbers flushed, scratch memory reset.
template <class F>
void run_here(F&& job) {
    const FlushDenormals flush;
    Scratch& scratch = Scratch::of_thread();
    scratch.reset();
    job(scratch);
}

/// Runs job(part, scratch) for every part, on up to `threads` threads.
template <class F>
void deal_out(Index threads, Index parts, F&& job) {
    auto run = [&](Index part) { run_here([&](Scratch& scratch) { job(part, scratch); }); };
    if (std::min(threads, parts) == 2) return run_by_two(parts, run);
    parallel(threads, parts, run);
}

}  // namespace unrolled
