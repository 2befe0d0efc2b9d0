#include "driver.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "runtime/helper.hpp"
#include "runtime/pair.hpp"
#include "runtime/threads.hpp"
#include "tuning.hpp"

#if defined(UNROLLED_X86)
#include <xmmintrin.h>
#endif

namespace unrolled {

using namespace tuning;

namespace {

bool is_worth_sharing(Index bytes) {
    return bytes >= (round_trip() > kFarRoundTrip ? kMinPackedBytesSharedFar : kMinPackedBytesShared);
}

/// Flushes denormal numbers to zero while it lives, in this thread: a vanishing gradient would else cost a hundred
/// times what a plain number does.
class FlushDenormals {
public:
#if defined(UNROLLED_X86)
    FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040U); }
    ~FlushDenormals() { _mm_setcsr(saved_); }

private:
    unsigned saved_;
#elif defined(UNROLLED_ARM)
    FlushDenormals() {
        asm volatile("mrs %0, fpcr" : "=r"(saved_));
        asm volatile("msr fpcr, %0" ::"r"(saved_ | (std::uint64_t{1} << 24)));
    }
    ~FlushDenormals() { asm volatile("msr fpcr, %0" ::"r"(saved_)); }

private:
    std::uint64_t saved_;
#endif
};

/// Runs job(part, scratch) for every part.
template <class F>
void deal(Index threads, Index parts, F&& job) {
    auto run = [&](Index part) {
        const FlushDenormals flush;
        Scratch& scratch = Scratch::of_thread();
        scratch.reset();
        job(part, scratch);
    };
    if (std::min(threads, parts) == 2) return run_by_two(parts, run);
    parallel(threads, parts, run);
}

/// Runs job(scratch) as a kernel wants it.
template <class F>
void ready(F&& job) {
    const FlushDenormals flush;
    Scratch& scratch = Scratch::of_thread();
    scratch.reset();
    job(scratch);
}

/// How many threads a training pass is worth, of those there are.
Index training_threads(Index threads, Index directions, const Spec& spec, const Schedule& plan) {
    const bool is_lone = directions == 1 && plan.batch <= kMaxLockstepRows;
    const bool is_too_far =
        round_trip() > kFarRoundTrip && work_of(spec, plan.offset[plan.steps]) < kMinTrainingWorkFar;
    return is_lone && is_too_far ? 1 : threads;
}

bool is_for_two(Index threads, Index directions, const Spec& spec, const Schedule& plan) {
    const bool two_stages = spec.is_projected() || (spec.kind == Kind::gru && !spec.reset_after);
    if (threads < 2 || directions > 1 || plan.batch == 0 || plan.batch > kMaxLockstepRows ||
        plan.steps < kMinLockstepSteps || two_stages || work_of(spec, plan.offset[plan.steps]) < kMinWorkForHelper)
        return false;
    // meeting takes one or two round trips a step, and saves half of it
    const Index bytes = spec.gates() * spec.hidden * spec.output * 4;
    return bytes * std::max<Index>(1, plan.batch / 2) / kBytesPerNanosecond > kRoundTripsPerStep * round_trip();
}

/// loop(company, scratch) in this thread and, if it comes, in the helper's.
template <class F>
void in_lockstep(Index threads, F&& loop) {
    struct Both {
        F& loop;
        Lockstep pair;
    } both{loop, {}};
    const auto help = [](void* self) {
        Both& b = *static_cast<Both*>(self);
        ready([&](Scratch& scratch) { b.loop(Company{&b.pair, true}, scratch); });
    };
    Help asked(threads, help, &both);
    // who was sent away looks in from time to time whether it is wanted again
    asked.allow(kLateLeaving);
    ready([&](Scratch& scratch) { loop(asked.asked() ? Company{&both.pair, false} : Company{}, scratch); });
}

/// How many shares a direction's sequences are cut into.
Index shares(Index threads, Index directions, const Spec& spec, const Schedule& plan) {
    if (work_of(spec, plan.offset[plan.steps]) < kMinWorkToDeal) return 1;
    return std::max<Index>(1, std::min(threads / directions, plan.batch));
}

}  // namespace

double work_of(const Spec& spec, Index rows) {
    return static_cast<double>(rows) * static_cast<double>(spec.gates() * spec.hidden) *
           static_cast<double>(spec.input + spec.output);
}

template <class S>
Packed<S>::Packed(const Spec& spec, const Parameters<S>& parameters, Index threads)
    : fingerprint_(fingerprint(spec, parameters)),
      spec_(spec),
      kernels_(kernels_of<S>(variant())),
      gates_(kernels_.gates_size(spec)) {
    const Index parts = is_worth_sharing(gates_.size()) ? kPackingParts : 1;
    share(threads, parts, [&](Index part) {
        kernels_.pack_gates(spec, parameters, gates_.template as<void>(), part, parts, Scratch::of_thread());
    });
    if (spec.is_projected()) {
        projection_ =
            std::make_unique<Buffer>(kernels_.columns_size(spec.hidden, spec.output) * static_cast<Index>(sizeof(S)));
        kernels_.pack_transposed(parameters.weight_hr, spec.output, spec.hidden, projection_->template as<S>());
    }
    if (spec.peephole) {
        const auto bytes = static_cast<std::size_t>((spec.gates() - 1) * spec.hidden) * sizeof(S);
        peephole_ = std::make_unique<Buffer>(static_cast<Index>(bytes));
        std::memcpy(peephole_->template as<S>(), parameters.weight_peephole, bytes);
    }
}

template <class S>
std::uint64_t Packed<S>::fingerprint(const Spec& spec, const Parameters<S>& p) {
    const Index rows = spec.gates() * spec.hidden;
    const std::pair<const S*, Index> tensors[] = {{p.weight_ih, rows * spec.input},
                                                  {p.weight_hh, rows * spec.output},
                                                  {p.bias_ih, rows},
                                                  {p.bias_hh, rows},
                                                  {p.weight_hr, spec.output * spec.hidden},
                                                  {p.weight_peephole, rows - spec.hidden}};
    std::uint64_t mixed = 0;
    for (const auto& [data, count] : tensors) {
        if (data == nullptr || count == 0) continue;
        for (Index i = 0; i < kSampledElements; ++i) {
            std::uint64_t bits = 0;
            std::memcpy(&bits, data + (count - 1) * i / (kSampledElements - 1), sizeof(S));
            mixed = (mixed ^ bits) * 0x9e3779b97f4a7c15U + 1;
        }
    }
    return mixed;
}

template <class S>
Index Packed<S>::bytes() const {
    return gates_.size() + (projection_ ? projection_->size() : 0) + (peephole_ ? peephole_->size() : 0);
}

Plan::Plan(Index time, Index batch, const std::int64_t* lengths) : row_(batch), length_(batch, time) {
    std::iota(row_.begin(), row_.end(), Index{0});
    if (lengths != nullptr) {
        std::stable_sort(row_.begin(), row_.end(), [&](Index a, Index b) { return lengths[a] > lengths[b]; });
        for (Index j = 0; j < batch; ++j) length_[j] = lengths[row_[j]];
    }
    const Index steps = batch ? length_.front() : 0;
    running_.resize(steps + 1);
    offset_.resize(steps + 1);
    Index running = batch, all = 0;
    for (Index s = 0; s <= steps; ++s) {
        while (running > 0 && length_[running - 1] <= s) --running;
        running_[s] = running;
        offset_[s] = all;
        all += running;
    }
    schedule_ = {time, batch, steps, row_.data(), length_.data(), running_.data(), offset_.data()};
}

template <class S>
void run_forward(const Forward<S>& call, const Kernels<S>& kernels, Index threads) {
    const ForwardDirection<S>& first = call.direction[0];
    if (first.saved_gates != nullptr) threads = training_threads(threads, call.directions, call.spec, call.schedule);
    if (is_for_two(threads, call.directions, call.spec, call.schedule) && !first.masks.recurrent)
        return in_lockstep(
            threads, [&](Company company, Scratch& scratch) { kernels.forward(call, 0, 0, 1, company, scratch); });
    const Index parts = shares(threads, call.directions, call.spec, call.schedule);
    deal(parts == 1 && work_of(call.spec, call.schedule.offset[call.schedule.steps]) < kMinWorkToDeal ? 1 : threads,
         parts * call.directions, [&](Index task, Scratch& scratch) {
             kernels.forward(call, task / parts, task % parts, parts, Company{}, scratch);
         });
}

template <class S>
void run_step(const Step<S>& call, const Kernels<S>& kernels, Index threads) {
    const Spec& spec = call.spec;
    const bool two_stages = spec.is_projected() || (spec.kind == Kind::gru && !spec.reset_after);
    const Index bytes =
        spec.gates() * spec.hidden * (spec.input + spec.output) * (spec.narrow ? 2 : static_cast<Index>(sizeof(S)));
    const double work = work_of(spec, call.batch);
    if (two_stages || threads < 2 || (bytes <= kMaxStepBytesAlone && work < kMaxStepWorkAlone))
        return ready([&](Scratch& scratch) { kernels.step(call, 0, 1, scratch); });
    if (threads > 2 && work >= kMinWorkForRegion)
        return deal(threads, threads,
                    [&](Index part, Scratch& scratch) { kernels.step(call, part, threads, scratch); });
    // parts long enough to be worth taking, short enough to be waited for
    const Index parts = std::min(kMaxStepParts, (spec.hidden + kUnitsPerPart - 1) / kUnitsPerPart);
    share_from_the_ends(
        threads, parts, [&](Index part) { ready([&](Scratch& scratch) { kernels.step(call, part, parts, scratch); }); },
        bytes <= kMaxStepBytesAwake && work < kMaxStepWorkAlone);
}

template <class S>
void run_backward(Backward<S>& call, Index threads) {
    const Kernels<S>& kernels = kernels_of<S>(variant());
    const Spec& spec = call.spec;
    const Index H = spec.hidden, G = spec.gates();
    const bool resets_before = spec.kind == Kind::gru && !spec.reset_after;
    threads = training_threads(threads, call.directions, spec, call.schedule);
    struct Job {
        const S* matrix;
        Index rows, columns;
        std::unique_ptr<Buffer> packed;
    };
    std::vector<Job> jobs;
    std::vector<std::unique_ptr<Buffer>> turned;
    const auto pack = [&](const S* matrix, Index rows, Index columns) {
        const Index bytes = kernels.columns_size(rows, columns) * static_cast<Index>(sizeof(S));
        jobs.push_back({matrix, rows, columns, std::make_unique<Buffer>(bytes)});
        return static_cast<const S*>(jobs.back().packed->template as<S>());
    };
    for (Index i = 0; i < call.directions; ++i) {
        BackwardDirection<S>& d = call.direction[i];
        d.hidden_packed = pack(d.parameters.weight_hh, (resets_before ? 2 : G) * H, spec.output);
        if (resets_before) d.candidate_packed = pack(d.parameters.weight_hh + 2 * H * H, H, H);
        if (spec.is_projected()) d.projection_packed = pack(d.parameters.weight_hr, spec.output, H);
        if (call.dx != nullptr && spec.kind == Kind::gru) {
            // the kernels keep GRU's gates as n, r, z
            const Index block = H * spec.input;
            turned.push_back(std::make_unique<Buffer>(3 * block * static_cast<Index>(sizeof(S))));
            S* to = turned.back()->template as<S>();
            const S* weight = d.parameters.weight_ih;
            std::memcpy(to, weight + 2 * block, static_cast<std::size_t>(block) * sizeof(S));
            std::memcpy(to + block, weight, static_cast<std::size_t>(2 * block) * sizeof(S));
            d.input_packed = pack(to, 3 * H, spec.input);
        } else if (call.dx != nullptr) {
            d.input_packed = pack(d.parameters.weight_ih, G * H, spec.input);
        }
    }
    const Index bytes = spec.gates() * H * (spec.input + spec.output) * static_cast<Index>(sizeof(S));
    share(is_worth_sharing(bytes) ? threads : 1, static_cast<Index>(jobs.size()), [&](Index i) {
        const Job& job = jobs[static_cast<std::size_t>(i)];
        kernels.pack_columns(job.matrix, job.rows, job.columns, job.packed->template as<S>());
    });
    const Index all = call.schedule.offset[call.schedule.steps];
    if (is_for_two(threads, call.directions, spec, call.schedule)) {
        in_lockstep(threads, [&](Company company, Scratch& scratch) { kernels.bptt(call, 0, 0, 1, company, scratch); });
        constexpr Index kParts = kGradientParts;
        share(threads, 2 * kParts, [&](Index part) {
            ready([&](Scratch& scratch) {
                if (part < kParts) return kernels.weight_gradient(call, 0, part, kParts, scratch);
                if (call.dx != nullptr) kernels.input_gradient(call, part - kParts, kParts, scratch);
            });
        });
        return;
    }
    if (work_of(spec, all) < kMinWorkToDeal) threads = 1;
    const Index parts = shares(threads, call.directions, spec, call.schedule);
    deal(threads, parts * call.directions, [&](Index task, Scratch& scratch) {
        kernels.bptt(call, task / parts, task % parts, parts, Company{}, scratch);
    });
    deal(threads, threads, [&](Index part, Scratch& scratch) {
        for (Index i = 0; i < call.directions; ++i) {
            kernels.weight_gradient(call, i, part, threads, scratch);
            scratch.reset();
        }
        if (call.dx != nullptr) kernels.input_gradient(call, part, threads, scratch);
    });
}

template class Packed<float>;
template class Packed<double>;
template void run_forward(const Forward<float>&, const Kernels<float>&, Index);
template void run_forward(const Forward<double>&, const Kernels<double>&, Index);
template void run_backward(Backward<float>&, Index);
template void run_backward(Backward<double>&, Index);
template void run_step(const Step<float>&, const Kernels<float>&, Index);
template void run_step(const Step<double>&, const Kernels<double>&, Index);

}  // namespace unrolled
