#include "pair.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "helper.hpp"
#include "threads.hpp"
#include "tuning.hpp"

namespace unrolled {

using namespace tuning;

namespace {

using Clock = std::chrono::steady_clock;

/// Whether the helper is preferred to torch's worker.
std::atomic<bool> prefers_helper{false};

/// A job that records when the second thread began.
struct Watched {
    void (*job)(void*, Index);
    void* data;
    const std::thread::id caller = std::this_thread::get_id();
    const Clock::time_point start = Clock::now();
    std::atomic<Clock::rep> delay{-1};

    void run(Index part) {
        if (delay.load(std::memory_order_relaxed) < 0 && std::this_thread::get_id() != caller)
            delay.store((Clock::now() - start).count(), std::memory_order_relaxed);
        job(data, part);
    }
    /// Whether the second thread was late; one that never came was late by the whole time.
    bool was_late() const {
        const auto all = Clock::now() - start;
        const Clock::rep noted = delay.load(std::memory_order_relaxed);
        const Clock::duration waited = noted < 0 ? all : Clock::duration(noted);
        return waited > std::max<Clock::duration>(kLateStart, all / kLateStartShare);
    }
};

}  // namespace

void run_by_two(Index parts, void (*job)(void*, Index), void* data) {
    Watched watched{job, data};
    const auto run = [](void* self, Index part) { static_cast<Watched*>(self)->run(part); };
    const bool by_helper = prefers_helper.load(std::memory_order_relaxed) && share_if_helped(parts, run, &watched);
    if (!by_helper) parallel(2, parts, run, &watched);
    if (watched.was_late()) prefers_helper.store(!by_helper, std::memory_order_relaxed);
}

}  // namespace unrolled
