#include "cpu.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

namespace unrolled {

#define UNROLLED_DECLARE(isa)               \
    namespace isa {                         \
    extern const Kernels<float> table_f32;  \
    extern const Kernels<double> table_f64; \
    }
#if defined(UNROLLED_X86)
UNROLLED_DECLARE(baseline)
UNROLLED_DECLARE(avx2)
UNROLLED_DECLARE(avx512)
UNROLLED_DECLARE(avx512bf16)
#elif defined(UNROLLED_ARM)
UNROLLED_DECLARE(neon)
#else
UNROLLED_DECLARE(baseline)
#endif

std::vector<const Variant*> variants() {
    std::vector<const Variant*> usable;
#if defined(UNROLLED_ARM)
    static const Variant neon{"neon", neon::table_f32, neon::table_f64};
    usable.push_back(&neon);
#else
    static const Variant baseline{"baseline", baseline::table_f32, baseline::table_f64};
    usable.push_back(&baseline);
#endif
#if defined(UNROLLED_X86)
    static const Variant avx2{"avx2", avx2::table_f32, avx2::table_f64};
    static const Variant avx512{"avx512", avx512::table_f32, avx512::table_f64};
    static const Variant avx512bf16{"avx512bf16", avx512bf16::table_f32, avx512::table_f64};
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) usable.push_back(&avx2);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl")) {
        usable.push_back(&avx512);
        if (__builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni"))
            usable.push_back(&avx512bf16);
    }
#endif
    return usable;
}

namespace {

const Variant* named(const std::string& name) {
    for (const Variant* v : variants())
        if (name == v->name) return v;
    return nullptr;
}

const Variant* first_choice() {
    const char* asked = std::getenv("UNROLLED_CPU");
    if (asked == nullptr || *asked == '\0') return variants().back();
    if (const Variant* v = named(asked)) return v;
    std::string known;
    for (const Variant* v : variants()) known += (known.empty() ? "" : ", ") + std::string(v->name);
    throw std::invalid_argument("UNROLLED_CPU: expected one of " + known + " on this machine, found '" + asked + "'");
}

std::atomic<const Variant*> chosen{nullptr};

}  // namespace

const Variant& variant() {
    const Variant* v = chosen.load(std::memory_order_acquire);
    if (v == nullptr) {
        v = first_choice();
        chosen.store(v, std::memory_order_release);
    }
    return *v;
}

bool use_variant(const std::string& name) {
    const Variant* v = named(name);
    if (v != nullptr) chosen.store(v, std::memory_order_release);
    return v != nullptr;
}

}  // namespace unrolled
