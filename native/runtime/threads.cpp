#include "threads.hpp"

#include <atomic>
#include <exception>
#include <mutex>

#if defined(__linux__) || defined(__APPLE__)
#include <dlfcn.h>
#include <pthread.h>
#define UNROLLED_DL 1
#endif
#if defined(__linux__)
#include <link.h>

#include <string>
#include <vector>
#endif

namespace unrolled {

namespace {

std::atomic<bool> forked{false};

/// The functions of an OpenMP runtime that are used. GOMP_parallel is GNU's; LLVM's and Intel's runtimes have it, too.
struct Runtime {
    void (*parallel)(void (*)(void*), void*, unsigned, unsigned) = nullptr;
    int (*thread)() = nullptr;
    int (*threads)() = nullptr;
    int (*in_parallel)() = nullptr;
    bool is_complete() const { return parallel && thread && threads && in_parallel; }
};

#ifdef UNROLLED_DL
template <class F>
void look_up(void* library, const char* name, F& function) {
    function = reinterpret_cast<F>(dlsym(library, name));
}

Runtime runtime_in(void* library) {
    Runtime r;
    look_up(library, "GOMP_parallel", r.parallel);
    look_up(library, "omp_get_thread_num", r.thread);
    look_up(library, "omp_get_num_threads", r.threads);
    look_up(library, "omp_in_parallel", r.in_parallel);
    return r;
}
#endif

Runtime find_runtime() {
    Runtime r;
#if defined(__linux__)
    // the library that is loaded already, by any of its names; never a second one
    std::vector<std::string> paths;
    const auto visit = [](dl_phdr_info* info, std::size_t, void* paths) -> int {
        const std::string path = info->dlpi_name == nullptr ? "" : info->dlpi_name;
        const std::string base = path.substr(path.rfind('/') + 1);
        for (const char* name : {"libgomp", "libiomp5", "libomp"})
            if (base.rfind(name, 0) == 0) static_cast<std::vector<std::string>*>(paths)->push_back(path);
        return 0;
    };
    dl_iterate_phdr(visit, &paths);
    for (const std::string& path : paths) {
        void* library = r.is_complete() ? nullptr : dlopen(path.c_str(), RTLD_NOLOAD | RTLD_LAZY);
        if (library != nullptr) r = runtime_in(library);
    }
#elif defined(__APPLE__)
    r = runtime_in(RTLD_DEFAULT);
#endif
    return r;
}

const Runtime& runtime() {
    static const Runtime r = find_runtime();
    return r;
}

/// One job, and the first exception of its parts, which must not leave a parallel region.
struct Region {
    const Runtime& omp;
    Index parts;
    void (*job)(void*, Index);
    void* data;
    std::mutex guard;
    std::exception_ptr failure;

    void work(Index first, Index stride) {
        try {
            for (Index part = first; part < parts; part += stride) job(data, part);
        } catch (...) {
            const std::lock_guard<std::mutex> lock(guard);
            if (!failure) failure = std::current_exception();
        }
    }
};

}  // namespace

bool was_forked() {
#ifdef UNROLLED_DL
    static const int watched = pthread_atfork(nullptr, nullptr, [] { forked.store(true); });
    static_cast<void>(watched);
#endif
    return forked.load(std::memory_order_relaxed);
}

const char* why_single() {
    if (was_forked()) return "this process was forked from one that uses threads";
    if (!runtime().is_complete()) return "torch's OpenMP runtime was not found";
    return nullptr;
}

void parallel(Index threads, Index parts, void (*job)(void*, Index), void* data) {
    if (threads > parts) threads = parts;
    if (threads <= 1 || why_single() != nullptr || runtime().in_parallel()) {
        for (Index part = 0; part < parts; ++part) job(data, part);
        return;
    }
    Region region{runtime(), parts, job, data, {}, nullptr};
    const auto enter = [](void* self) {
        auto* r = static_cast<Region*>(self);
        // the runtime may provide fewer threads than requested; each takes every n-th part
        r->work(r->omp.thread(), r->omp.threads());
    };
    region.omp.parallel(enter, &region, static_cast<unsigned>(threads), 0);
    if (region.failure) std::rethrow_exception(region.failure);
}

}  // namespace unrolled
