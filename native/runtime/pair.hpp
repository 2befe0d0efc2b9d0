// Two threads for work of milliseconds: the caller's and a second one, for which there are two to choose from.
//
// Torch's worker is at once there while it spins after an operation of torch's. Asleep, though, it is woken by the system
// wherever that likes, and on a machine whose cores were busy a moment ago (another library's threads may have spun on
// them) that is often the caller's own core, where it waits for milliseconds until the caller has done its own part. Our
// helper keeps off that core, but has to share the other one with a worker that spins. Which of them it will be cannot be
// seen beforehand, so that whoever was late is passed over the next time.
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
