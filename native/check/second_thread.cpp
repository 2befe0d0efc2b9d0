// Runs jobs in two threads, under ThreadSanitizer: every part is done exactly once, by either thread; what a part
// throws reaches the caller; and several callers at a time do not disturb each other.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <thread>
#include <vector>

#include "runtime/helper.hpp"
#include "runtime/pair.hpp"

using namespace unrolled;

namespace {

/// The number of parts that were not done by the caller.
std::atomic<long> helped{0};

[[noreturn]] void fail(const char* what, Index parts) {
    std::fprintf(stderr, "second_thread: %s, of %ld parts\n", what, static_cast<long>(parts));
    std::exit(1);
}

/// Work of different lengths that the compiler cannot remove.
double work(Index part) {
    double sum = 1;
    for (Index i = 0; i < 50 * (1 + part % 7); ++i) sum += 1 / (sum + static_cast<double>(i));
    return sum;
}

/// One job in one of four ways; `broken` is the part that raises, if any.
template <class Job>
void run(int way, Index parts, Job&& job) {
    if (way == 0) return share(2, parts, job);
    if (way == 1) return share_from_the_ends(2, parts, job, false);
    if (way == 2) return share_from_the_ends(2, parts, job, true);
    run_by_two(parts, job);
}

void check(int way, Index parts, Index broken) {
    // plain, not atomic: two threads at one part would be a race
    std::vector<int> done(static_cast<std::size_t>(parts));
    std::vector<double> results(done.size());
    struct Job {
        std::vector<int>& done;
        std::vector<double>& results;
        Index broken;
        std::thread::id caller = std::this_thread::get_id();
        void operator()(Index part) {
            if (std::this_thread::get_id() != caller) ++helped;
            const auto at = static_cast<std::size_t>(part);
            results[at] = work(part);
            ++done[at];
            if (part == broken) throw std::runtime_error("broken");
        }
    } job{done, results, broken};
    bool raised = false;
    try {
        run(way, parts, [&](Index part) { job(part); });
    } catch (const std::runtime_error&) {
        raised = true;
    }
    if (raised != (broken >= 0)) fail("an error was lost, or came from nowhere", parts);
    for (Index part = 0; part < parts; ++part) {
        const auto at = static_cast<std::size_t>(part);
        if (done[at] > 1) fail("a part was done twice", parts);
        if (broken < 0 && (done[at] == 0 || results[at] != work(part))) fail("a part was not done", parts);
    }
}

void caller(int rounds) {
    for (int i = 0; i < rounds; ++i)
        for (int way = 0; way < 4; ++way) {
            const Index parts = 1 + (i * 5 + way) % 63;
            check(way, parts, i % 16 == 15 ? i % parts : -1);
        }
}

}  // namespace

int main(int count, char** words) {
    const int rounds = count > 1 ? std::atoi(words[1]) : 1000;
    caller(rounds);
    std::vector<std::thread> callers;
    for (int i = 0; i < 3; ++i) callers.emplace_back(caller, rounds / 4);
    for (std::thread& thread : callers) thread.join();
    if (helped == 0 && std::thread::hardware_concurrency() > 1) fail("nobody ever helped", rounds);
    std::printf("%d rounds of jobs in two threads, then three callers at once: %ld parts by the second\n", rounds,
                helped.load());
    return 0;
}
