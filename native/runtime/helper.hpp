// A helper: one thread of our own, for work too short for a parallel region of OpenMP.
//
// A lone sequence or a single step is over in microseconds. A parallel region ends when every thread of it has come and
// gone, so that one worker without a core holds it up for a time slice of the system. Nobody waits for this helper to
// come: the caller begins at once, and shares what is left if the helper turns up. It waits only for what the helper
// has taken on; where that took suspiciously long, because the cores have other work, it is paid for by going without
// help for twenty times as long, in advance or afterwards. What is suspicious depends on the work: whoever takes on a
// part that lasts a millisecond may be half a millisecond behind without having lost its core.
#pragma once

#include <atomic>
#include <chrono>

#include "job.hpp"

namespace unrolled {

/// A place that no other variable shares a cache line with.
struct alignas(128) Counter {
    std::atomic<Index> value{0};
};

/// Asks for help while it lives; at its end the helper, if it came, has left. At most one lives at a time that asks with
/// success; no result may depend on whether help came.
class Help {
public:
    /// run(data) is what the helper will do, once; it must not throw. No help where `threads` is 1, in a forked
    /// process, while another thread has it, for a while after it was late, or for a `short_job` when it sleeps: waking
    /// it takes some microseconds, and whoever has a job now and then is alone as quick. One job soon after another
    /// wakes it.
    Help(Index threads, void (*run)(void* data), void* data, bool short_job = false);
    ~Help();
    Help(const Help&) = delete;
    Help& operator=(const Help&) = delete;
    /// Whether somebody may come.
    bool asked() const { return asked_; }
    /// How long a part takes, as the caller found: the helper may be that much behind at the end.
    void allow(std::chrono::nanoseconds part) { part_ = part; }

private:
    bool asked_;
    std::chrono::nanoseconds part_{0};
};

/// Two threads in step: the caller, who is there from the beginning, and the helper, who may join at any step, is sent
/// away when it is late, and may join again later.
class Lockstep {
public:
    /// What the caller shares with the helper beside the steps; set before the first `admit`.
    void* shared = nullptr;

    /// The caller, before each step while it is alone: whether the helper shares from this step on.
    bool admit(Index step);
    /// The caller, after its share of `step`: waits for the helper's. False once help was late: from step + 2 on the
    /// caller will be alone, and must say so to itself. A `long_step` is one in which more was done than in others.
    bool meet(Index step, bool long_step);
    /// The caller, when all is done, or nothing more is to be shared.
    void close();

    /// The helper: waits until it is let in; the first step to share, or a negative number if there is none.
    Index join();
    /// The helper, after its share of `step`: whether it shares the next one too; if not, it may join again.
    bool go_on(Index step);

private:
    static constexpr Index kNotYet = -1, kUnlimited = Index{1} << 62;
    Counter caller_, helper_, joined_, first_{kNotYet}, limit_{kUnlimited}, closed_, ping_, pong_;
    // what the caller alone knows: how often it admitted, and that it will not again
    Index admitted_ = 0;
    bool is_closed_ = false;
    std::chrono::steady_clock::time_point rest_until_{};
};

/// How long a word takes from the caller to the helper and back, in nanoseconds, or 0 where that was not measured in the
/// last 50 ms. On one machine it may be 90 at one time and 370 at another, as the system moves virtual cores about.
Index round_trip();

/// Parts of a job, taken by whoever is free: job(data, part) for every part below `parts`, in the calling thread and,
/// if it turns up, in the helper's. The order is arbitrary and no two parts may write to the same place. Raises what a
/// part raises; some of the others may then not have been done.
void share(Index threads, Index parts, void (*job)(void* data, Index part), void* data);

/// The same, if help can be asked for; false, and nothing is done, if not.
bool share_if_helped(Index parts, void (*job)(void* data, Index part), void* data);

/// The same, of at most 63 parts of a job that is done again and again: caller and helper each begin at an end and go
/// towards the other, and the next time from the middle outwards. Whatever the parts read lies, as far as it fits, in
/// the cache of the core that reads it again.
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
