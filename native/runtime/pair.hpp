// Two threads for work of milliseconds: the caller's, and one of two candidates for the second.
//
// While torch's worker spins after an operation of torch's, it is there at once. Asleep, it is woken by the system on
// any core; on a machine whose cores were busy a moment ago that is often the caller's own, where it waits for
// milliseconds until the caller has done its part. The helper keeps off that core, but shares the other with a worker
// that spins. Which of them will be late cannot be known in advance, so that the one that was late is passed over the
// next time.
#pragma once

#include "job.hpp"

namespace unrolled {

/// Runs job(data, part) for every part below `parts` in the calling thread and in a second one.
void run_by_two(Index parts, void (*job)(void* data, Index part), void* data);

template <class F>
void run_by_two(Index parts, F&& job) {
    run_by_two(parts, do_part<F>, &job);
}

}  // namespace unrolled
