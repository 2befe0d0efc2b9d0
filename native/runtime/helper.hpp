// The helper: one thread of our own, for work that is too short for a parallel region of OpenMP.
//
// A single sequence or step is over in microseconds. A parallel region ends only when each of its threads has come and
// gone, so that one worker without a core delays it by a time slice of the system. Nobody waits for the helper to come:
// the caller begins at once, and shares what is left if the helper turns up. The caller waits only for work that the
// helper has begun. If that takes suspiciously long, the helper has lost its core to other work, and is not asked for
// twenty times as long, in advance or afterwards. How long is suspicious depends on the work: a thread whose part takes
// a millisecond may be half a millisecond behind without having lost its core.
#pragma once

#include <atomic>
#include <chrono>

#include "job.hpp"

namespace unrolled {

/// An atomic number that shares its cache line with no other variable.
struct alignas(128) Counter {
    std::atomic<Index> value{0};
};

/// A request for help, for as long as it lives. At its end the helper, if it came, has left. Only one request at a time
/// succeeds; no result may depend on whether help came.
class Help {
public:
    /// The helper will call run(data) once; it must not throw. Help is not available if `threads` is 1, in a forked
    /// process, while another thread has it, for a while after it was late, and for a `short_job` while it sleeps:
    /// waking it takes some microseconds, so that a caller with a job now and then is just as fast alone. A job soon
    /// after another wakes it.
    Help(Index threads, void (*run)(void* data), void* data, bool short_job = false);
    ~Help();
    Help(const Help&) = delete;
    Help& operator=(const Help&) = delete;
    /// Whether the helper was asked, and may come.
    bool asked() const { return asked_; }
    /// Allows the helper to be so much later than the caller at the end.
    void allow(std::chrono::nanoseconds delay) { allowed_ = delay; }

private:
    bool asked_;
    std::chrono::nanoseconds allowed_{0};
};

/// Two threads in lockstep: the caller, who takes every step, and the helper, who may join at any step, is sent away
/// when it is late, and may join again later.
class Lockstep {
public:
    /// Memory that the caller shares with the helper; set before the first `admit`.
    void* shared = nullptr;

    /// The caller, before each step that it takes alone. Returns whether the helper shares the steps from this one on.
    bool admit(Index step);
    /// The caller, after its share of `step`: waits for the helper's. Returns false once the helper was late: from step
    /// + 2 on the caller is alone, and must remember that. A `long_step` has more work than others.
    bool meet(Index step, bool long_step);
    /// The caller, when all is done or nothing more is to be shared.
    void close();

    /// The helper: waits until it is admitted. Returns the first step to share, negative if there is none.
    Index join();
    /// The helper, after its share of `step`. Returns whether it shares the next one; if not, it may join again.
    bool go_on(Index step);

private:
    static constexpr Index kNotYet = -1, kUnlimited = Index{1} << 62;
    Counter caller_, helper_, joined_, first_{kNotYet}, limit_{kUnlimited}, closed_, ping_, pong_;
    // the caller's own: how often it admitted, and whether it will never again
    Index admitted_ = 0;
    bool is_closed_ = false;
    std::chrono::steady_clock::time_point rest_until_{};
};

/// Nanoseconds of a message from the caller to the helper and back, 0 if it was not measured in the last 50 ms. On the
/// same machine it may be 90 now and 370 later, since the system moves virtual cores.
Index round_trip();

/// Runs job(data, part) for every part below `parts`, in the calling thread and, if it turns up, in the helper's. The
/// order is arbitrary, and no two parts may write to the same place. Throws what a part throws; some of the others may
/// then not have run.
void share(Index threads, Index parts, void (*job)(void* data, Index part), void* data);

/// The same, if the helper can be asked. Otherwise does nothing and returns false.
bool share_if_helped(Index parts, void (*job)(void* data, Index part), void* data);

/// The same, for at most 63 parts of a job that is done again and again: caller and helper each begin at one end and
/// proceed towards the other, and the next time from the middle outwards. What a core read last it reads first in the
/// next job, from its cache as far as it fits.
void share_from_the_ends(Index threads, Index parts, void (*job)(void* data, Index part), void* data, bool short_job);

template <class F>
void share(Index threads, Index parts, F&& job) {
    share(threads, parts, do_part<F>, &job);
}

template <class F>
void share_from_the_ends(Index threads, Index parts, F&& job, bool short_job) {
    share_from_the_ends(threads, parts, do_part<F>, &job, short_job);
}

}  // namespace unrolled
