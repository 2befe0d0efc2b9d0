#include "ceiling.hpp"

#include <atomic>
#include <string_view>

#include "runtime/cpu.hpp"
#include "runtime/threads.hpp"

namespace unrolled {

#if defined(UNROLLED_X86)
namespace baseline {
extern const Probes probes;
}
namespace avx2 {
extern const Probes probes;
}
namespace avx512 {
extern const Probes probes;
}
namespace avx512bf16 {
extern const Probes probes;
}
#elif defined(UNROLLED_ARM)
namespace neon {
extern const Probes probes;
}
#else
namespace baseline {
extern const Probes probes;
}
#endif

namespace {

/// The probes of the instruction set in use.
const Probes& probes() {
#if defined(UNROLLED_ARM)
    return neon::probes;
#else
#if defined(UNROLLED_X86)
    const std::string_view name = variant().name;
    if (name == "avx512bf16") return avx512bf16::probes;
    if (name == "avx512") return avx512::probes;
    if (name == "avx2") return avx2::probes;
#endif
    return baseline::probes;
#endif
}

}  // namespace

Index probe_multiply_adds(Factor factor, Index rounds, Index threads) {
    std::atomic<Index> all{0};
    parallel(threads, threads, [&](Index) { all += probes().multiply_adds[static_cast<int>(factor)](rounds); });
    return all;
}

void probe_reads(const void* from, Index bytes, Index rounds, Index threads) {
    const Index size = bytes / threads / 64 * 64;
    parallel(threads, threads, [&](Index part) {
        probes().read_all(static_cast<const char*>(from) + part * size, size, rounds);
    });
}

}  // namespace unrolled
