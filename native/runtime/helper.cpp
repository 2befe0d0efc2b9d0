#include "helper.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <system_error>
#include <thread>
#include <utility>

#include "threads.hpp"
#include "tuning.hpp"

#if defined(__linux__) || defined(__APPLE__)
#include <pthread.h>
#include <signal.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif

namespace unrolled {

using namespace tuning;

namespace {

using Clock = std::chrono::steady_clock;

void relax() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

/// Waits for holds() without sleeping, then, once it has waited for `patience`, with sleep: the other thread has lost
/// its core, and may be waiting for this one. Returns how long it waited if that was beyond `patience`, else 0.
template <class F>
Clock::duration spin_until(F holds, Clock::duration patience = kLateStep) {
    for (int i = 0; i < kTurnsPerLook; ++i) {
        if (holds()) return {};
        relax();
    }
    const auto start = Clock::now();
    while (Clock::now() - start < patience)
        for (int i = 0; i < kTurnsPerLook; ++i) {
            if (holds()) return {};
            relax();
        }
    // yielding alone would not give it this core
    while (!holds()) std::this_thread::sleep_for(kNap);
    return Clock::now() - start;
}

/// The last measured round trip, and the time (in ticks of Clock) until which it is valid.
std::atomic<Index> measured{0};
std::atomic<Clock::rep> measured_until{0};

/// The state of a job, in the lowest bits; its number is in the others. A job that was withdrawn therefore differs from
/// the idle state before it, and a helper that was woken in vain notices.
enum State : unsigned { idle = 0, offered = 1, taken = 2, all_states = 3, next_job = 4 };

/// Never destroyed: the thread outlives every destructor of the process.
struct Helper {
    alignas(128) std::atomic<unsigned> state{idle};
    alignas(128) std::atomic<bool> in_use{false};
    void (*run)(void*) = nullptr;
    void* data = nullptr;
    // what follows belongs to the caller that has set in_use
    unsigned job = 0;
    bool started = false, broken = false;
    /// The last call that considered asking, and the times and calls until which the helper rests. Savings are full at
    /// first.
    Clock::time_point asked_at{}, rest_until{};
    std::int64_t calls = kMaxSavedCalls, rest_until_call = 0;
    std::thread thread;
    /// The core that the helper keeps off.
    int avoided = -1;

    /// Whether there is a thread to ask; starts it the first time, and has it rest until the system has begun it.
    bool is_there() {
        if (started || broken) return started;
#if defined(__linux__) || defined(__APPLE__)
        // signals are for the program's own threads
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
#endif
        try {
            thread = std::thread([this] { work(); });
            started = true;
            rest_until = Clock::now() + kHelperStart;
        } catch (const std::system_error&) {
            broken = true;
        }
#if defined(__linux__) || defined(__APPLE__)
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
#endif
        return started;
    }

    /// Waits for an offered job, awake for kAwakeAfterJob, then asleep; once woken in vain, awake for as long again.
    unsigned wait_for_job() {
        auto until = Clock::now() + kAwakeAfterJob;
        for (;;) {
            unsigned now = idle;
            for (int i = 0; i < kTurnsPerLookOut; ++i) {
                now = state.load(std::memory_order_relaxed);
                if ((now & all_states) == offered) return now;
                relax();
            }
            if (Clock::now() < until) continue;
            state.wait(now, std::memory_order_relaxed);
            until = Clock::now() + kAwakeAfterJob;
        }
    }

    /// Keeps the helper off the caller's core: a system whose cores are all busy would wake it there, behind the very
    /// thread that waits for it. Returns false if there is no other core.
    bool avoid_callers_core() {
#if defined(__linux__)
        const int here = sched_getcpu();
        if (here < 0 || here == avoided) return true;
        cpu_set_t others;
        if (sched_getaffinity(0, sizeof others, &others) != 0) return true;
        CPU_CLR(here, &others);
        if (CPU_COUNT(&others) == 0) return false;
        if (pthread_setaffinity_np(thread.native_handle(), sizeof others, &others) == 0) avoided = here;
#endif
        return true;
    }

    [[noreturn]] void work() {
        for (;;) {
            unsigned job = wait_for_job();
            if (!state.compare_exchange_strong(job, job - offered + taken, std::memory_order_acquire)) continue;
            run(data);
            state.store(job - offered + idle, std::memory_order_release);
        }
    }

    /// Records that the caller waited for the helper, and how long the helper rests for it.
    void was_late(Clock::duration waited) {
        if (waited.count() == 0) return;
        const auto now = Clock::now();
        rest_until =
            std::max(rest_until, now - kMaxSavedTime) + std::min<Clock::duration>(kRestPerWait * waited, kMaxRest);
        if (waited < kLostSlice || kLostShare * waited < now - asked_at) return;
        rest_until_call = std::max(rest_until_call, calls - kMaxSavedCalls) + kRestCalls;
    }

    /// Whether this call does not ask for help.
    bool is_resting(bool short_job) {
        const auto now = Clock::now();
        const bool may_sleep = now - std::exchange(asked_at, now) > kSoonAfter;
        return (short_job && may_sleep) || ++calls < rest_until_call || now < rest_until;
    }
};

Helper& helper() {
    static Helper* const instance = new Helper;
    return *instance;
}

}  // namespace

Help::Help(Index threads, void (*run)(void*), void* data, bool short_job) : asked_(false) {
    if (threads < 2 || was_forked()) return;
    Helper& h = helper();
    if (h.in_use.exchange(true, std::memory_order_acquire)) return;
    if (!h.is_there() || h.is_resting(short_job) || !h.avoid_callers_core()) {
        h.in_use.store(false, std::memory_order_release);
        return;
    }
    asked_ = true;
    h.run = run;
    h.data = data;
    h.job += next_job;
    h.state.store(h.job + offered, std::memory_order_release);
    h.state.notify_one();
}

Help::~Help() {
    if (!asked_) return;
    Helper& h = helper();
    unsigned expected = h.job + offered;
    if (!h.state.compare_exchange_strong(expected, h.job + idle, std::memory_order_acq_rel))
        h.was_late(
            spin_until([&] { return h.state.load(std::memory_order_acquire) == h.job + idle; }, kLateStep + allowed_));
    h.in_use.store(false, std::memory_order_release);
}

Index round_trip() {
    const bool holds = Clock::now().time_since_epoch().count() < measured_until.load(std::memory_order_relaxed);
    return holds ? measured.load(std::memory_order_relaxed) : 0;
}

bool Lockstep::admit(Index step) {
    if (is_closed_) return false;
    if (joined_.value.load(std::memory_order_acquire) == admitted_) return false;
    if (admitted_ > 0 && Clock::now() < rest_until_) return false;
    if (admitted_ == 0 && round_trip() == 0) {
        // the shortest counts: in the others the helper was still on its way, or one of the cores was interrupted
        auto shortest = Clock::duration::max();
        for (Index turn = 1; turn <= kRoundTripTurns; ++turn) {
            const auto start = Clock::now();
            ping_.value.store(turn, std::memory_order_release);
            const auto waited = spin_until([&] { return pong_.value.load(std::memory_order_acquire) == turn; });
            if (waited.count() > 0) {
                helper().was_late(waited);
                close();
                is_closed_ = true;
                return false;
            }
            shortest = std::min(shortest, Clock::now() - start);
        }
        const auto took = std::chrono::duration_cast<std::chrono::nanoseconds>(shortest).count();
        measured.store(std::max<Index>(1, took), std::memory_order_relaxed);
        measured_until.store((Clock::now() + kRoundTripValid).time_since_epoch().count(), std::memory_order_relaxed);
    }
    ++admitted_;
    limit_.value.store(kUnlimited, std::memory_order_relaxed);
    first_.value.store(step, std::memory_order_release);
    return true;
}

bool Lockstep::meet(Index step, bool long_step) {
    caller_.value.store(step + 1, std::memory_order_release);
    // in its first step the helper has nothing in its cache
    const auto waited =
        spin_until([&] { return helper_.value.load(std::memory_order_acquire) > step; },
                   long_step || step == first_.value.load(std::memory_order_relaxed) ? kLateLongStep : kLateStep);
    if (waited.count() == 0) return true;
    // a helper that is late once is late again; it reads this after it has seen the caller pass the next step
    limit_.value.store(step + 2, std::memory_order_relaxed);
    helper().was_late(waited);
    rest_until_ = helper().rest_until;
    return false;
}

void Lockstep::close() { closed_.value.store(1, std::memory_order_release); }

Index Lockstep::join() {
    first_.value.store(kNotYet, std::memory_order_relaxed);
    const Index come = joined_.value.fetch_add(1, std::memory_order_release);
    const auto is_answered = [&] {
        return first_.value.load(std::memory_order_acquire) != kNotYet ||
               closed_.value.load(std::memory_order_acquire) != 0;
    };
    // at first the caller is busy with a long step; later it has sent the helper away, and lets it wait
    const auto patience = come == 0 ? kLateLongStep : kLateStep;
    for (Index echoed = 0; !is_answered();) {
        Index ping = echoed;
        const auto is_called = [&] {
            ping = ping_.value.load(std::memory_order_acquire);
            return ping != echoed || is_answered();
        };
        spin_until(is_called, patience);
        pong_.value.store(ping, std::memory_order_release);
        echoed = ping;
    }
    return first_.value.load(std::memory_order_acquire);
}

bool Lockstep::go_on(Index step) {
    helper_.value.store(step + 1, std::memory_order_release);
    spin_until([&] { return caller_.value.load(std::memory_order_acquire) > step; });
    return step + 1 < limit_.value.load(std::memory_order_relaxed);
}

namespace {

/// Hands out the parts in order; a negative number when there are no more.
struct InOrder {
    const Index parts;
    Counter next{};

    Index take(bool, Index&) {
        const Index part = next.value.fetch_add(1, std::memory_order_relaxed);
        return part < parts ? part : -1;
    }
};

/// Hands out the parts from both ends, or from the middle outwards, to each thread its own half first. `asked` counts
/// the calls of a thread.
struct FromTheEnds {
    const Index parts;
    const bool outwards;
    Counter taken{};

    Index place(bool is_helper, Index i) const {
        const Index half = parts / 2;
        if (is_helper) return !outwards ? parts - 1 - i : i < parts - half ? half + i : i - (parts - half);
        return !outwards ? i : i < half ? half - 1 - i : parts - 1 - (i - half);
    }
    Index take(bool is_helper, Index& asked) {
        while (asked < parts) {
            const Index part = place(is_helper, asked++), bit = Index{1} << part;
            if ((taken.value.load(std::memory_order_relaxed) & bit) == 0 &&
                (taken.value.fetch_or(bit, std::memory_order_relaxed) & bit) == 0)
                return part;
        }
        return -1;
    }
};

template <class Dealer>
struct Shared {
    Dealer dealer;
    void (*job)(void*, Index);
    void* data;
    std::exception_ptr failed{};

    /// The helper's share. It must return whatever happens.
    void help() {
        try {
            Index asked = 0;
            for (Index part; (part = dealer.take(true, asked)) >= 0;) job(data, part);
        } catch (...) {
            failed = std::current_exception();
        }
    }
    /// Runs the job; alone, if the helper cannot be asked, only with `or_alone`. Returns whether it ran.
    bool run(Index threads, bool short_job, bool or_alone) {
        {
            Help help(threads, [](void* self) { static_cast<Shared*>(self)->help(); }, this, short_job);
            if (!help.asked() && !or_alone) return false;
            auto before = help.asked() ? Clock::now() : Clock::time_point{};
            Clock::duration longest{0};
            Index asked = 0;
            for (Index part; (part = dealer.take(false, asked)) >= 0;) {
                job(data, part);
                if (!help.asked()) continue;
                const auto now = Clock::now();
                longest = std::max(longest, now - before);
                before = now;
            }
            // the helper may have begun its part just before the end, and on a slower core
            help.allow(kLateParts * longest);
        }
        if (failed) std::rethrow_exception(failed);
        return true;
    }
};

}  // namespace

void share(Index threads, Index parts, void (*job)(void*, Index), void* data) {
    // a single part cannot be shared
    Shared<InOrder>{{parts}, job, data}.run(parts < 2 ? 1 : threads, false, true);
}

bool share_if_helped(Index parts, void (*job)(void*, Index), void* data) {
    return Shared<InOrder>{{parts}, job, data}.run(2, false, false);
}

void share_from_the_ends(Index threads, Index parts, void (*job)(void*, Index), void* data, bool short_job) {
    static thread_local bool outwards = true;
    outwards = !outwards;
    Shared<FromTheEnds>{{parts, outwards}, job, data}.run(threads, short_job, true);
}

}  // namespace unrolled
