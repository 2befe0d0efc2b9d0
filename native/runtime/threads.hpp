// Borrowed threads: jobs run in the OpenMP runtime that torch has already loaded. Its workers may still spin after
// torch's last operation; threads of our own would compete with them for the cores.
#pragma once

#include "job.hpp"

namespace unrolled {

/// Runs job(data, part) for every part below `parts` on up to `threads` threads, and returns when all are done. The
/// calling thread runs them alone if there is no OpenMP runtime to borrow, inside a parallel region, and in a forked
/// process, where the runtime would wait forever for threads that exist only in the parent.
void parallel(Index threads, Index parts, void (*job)(void* data, Index part), void* data);

/// Whether this process was forked from one that had loaded this library; threads do not exist in the child.
bool was_forked();

/// Why jobs run in the calling thread alone, or null if they do not.
const char* why_single();

template <class F>
void parallel(Index threads, Index parts, F&& job) {
    parallel(threads, parts, do_part<F>, &job);
}

}  // namespace unrolled
