// Threads, borrowed: a job runs in the OpenMP runtime that torch has already loaded, so that its workers, which may
// still be spinning after torch's last operation, do our work instead of stealing the core from it.
#pragma once

#include "job.hpp"

namespace unrolled {

/// Runs job(data, part) for every part below `parts`, on up to `threads` threads, and returns when all are done.
/// In the calling thread alone where there is no OpenMP runtime to borrow, inside a parallel region, or in a process
/// that was forked (a runtime whose threads stayed behind in the parent would wait for them for ever).
void parallel(Index threads, Index parts, void (*job)(void* data, Index part), void* data);

/// Whether this process was forked from one that had loaded this library: threads stay behind in the parent.
bool was_forked();

/// Why jobs run in the calling thread alone, or null if they need not.
const char* why_single();

template <class F>
void parallel(Index threads, Index parts, F&& job) {
    parallel(threads, parts, do_part<F>, &job);
}

}  // namespace unrolled
