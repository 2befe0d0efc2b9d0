#include "driver.hpp"

#include <algorithm>

#include "deal.hpp"
#include "runtime/helper.hpp"
#include "tuning.hpp"

namespace unrolled {

using namespace tuning;

namespace {

/// Runs loop(pairing, scratch) in this thread and, if it comes, in the helper's: two threads that share each step.
template <class F>
void run_in_lockstep(Index threads, F&& loop) {
    struct Shared {
        F& loop;
        Lockstep lockstep;
    } shared{loop, {}};
    const auto help = [](void* data) {
        Shared& s = *static_cast<Shared*>(data);
        run_here([&](Scratch& scratch) { s.loop(Pairing{&s.lockstep, true}, scratch); });
    };
    Help request(threads, help, &shared);
    request.allow(kLateLeaving);
    run_here([&](Scratch& scratch) { loop(request.asked() ? Pairing{&shared.lockstep, false} : Pairing{}, scratch); });
}

/// Whether a step has two stages, the second of which reads all of the first.
bool has_two_stages(const Spec& spec) { return spec.is_projected() || (spec.kind == Kind::gru && !spec.reset_after); }

double work_of(const Spec& spec, const Schedule& plan) { return unrolled::work_of(spec, plan.offset[plan.steps]); }

/// How many of the available threads a training pass is worth.
Index training_threads(Index threads, Index directions, const Spec& spec, const Schedule& plan) {
    const bool has_few_rows = directions == 1 && plan.count <= kMaxLockstepRows;
    const bool is_too_far = round_trip() > kFarRoundTrip && work_of(spec, plan) < kMinTrainingWorkFar;
    return has_few_rows && is_too_far ? 1 : threads;
}

/// Whether two threads had better share the units of each step than divide the rows.
bool shares_steps(Index threads, Index directions, const Spec& spec, const Schedule& plan) {
    if (threads < 2 || directions > 1 || plan.count == 0 || plan.count > kMaxLockstepRows ||
        plan.steps < kMinLockstepSteps || has_two_stages(spec) || work_of(spec, plan) < kMinWorkForHelper)
        return false;
    // meeting takes one or two round trips a step, and saves half of it
    const Index bytes = spec.gates() * spec.hidden * spec.output * spec.weight_size(4);
    return bytes * std::max<Index>(1, plan.count / 2) / kBytesPerNanosecond > kRoundTripsPerStep * round_trip();
}

/// Into how many parts the sequences of one direction are divided.
Index row_parts(Index threads, Index directions, const Spec& spec, const Schedule& plan) {
    if (work_of(spec, plan) < kMinWorkToDeal) return 1;
    return std::max<Index>(1, std::min(threads / directions, plan.count));
}

/// The gradients of the weights and of x after a backward loop that two threads shared.
template <class S>
void run_products_by_two(const Backward<S>& call, const Kernels<S>& kernels, Index threads) {
    constexpr Index kParts = kGradientParts;
    share(threads, 2 * kParts, [&](Index part) {
        run_here([&](Scratch& scratch) {
            if (part < kParts) return kernels.weight_gradient(call, 0, part, kParts, scratch);
            if (call.dx != nullptr) kernels.input_gradient(call, part - kParts, kParts, scratch);
        });
    });
}

}  // namespace

double work_of(const Spec& spec, Index rows) {
    return static_cast<double>(rows) * static_cast<double>(spec.gates() * spec.hidden) *
           static_cast<double>(spec.input + spec.output);
}

template <class S>
void run_forward(const Forward<S>& call, const Kernels<S>& kernels, Index threads) {
    const Spec& spec = call.spec;
    const Schedule& plan = call.schedule;
    const ForwardDirection<S>& first = call.direction[0];
    if (first.saved_gates != nullptr) threads = training_threads(threads, call.directions, spec, plan);
    if (shares_steps(threads, call.directions, spec, plan) && !first.masks.recurrent)
        return run_in_lockstep(
            threads, [&](Pairing pairing, Scratch& scratch) { kernels.forward(call, 0, 0, 1, pairing, scratch); });
    const Index parts = row_parts(threads, call.directions, spec, plan);
    if (parts == 1 && work_of(spec, plan) < kMinWorkToDeal) threads = 1;
    deal_out(threads, parts * call.directions, [&](Index task, Scratch& scratch) {
        kernels.forward(call, task / parts, task % parts, parts, Pairing{}, scratch);
    });
}

template <class S>
void run_backward(Backward<S>& call, Index threads) {
    const Kernels<S>& kernels = kernels_of<S>(variant());
    const Spec& spec = call.spec;
    const Schedule& plan = call.schedule;
    threads = training_threads(threads, call.directions, spec, plan);
    const BackwardWeights<S> weights(call, kernels, threads);
    if (shares_steps(threads, call.directions, spec, plan)) {
        run_in_lockstep(threads,
                        [&](Pairing pairing, Scratch& scratch) { kernels.bptt(call, 0, 0, 1, pairing, scratch); });
        return run_products_by_two(call, kernels, threads);
    }
    if (work_of(spec, plan) < kMinWorkToDeal) threads = 1;
    const Index parts = row_parts(threads, call.directions, spec, plan);
    deal_out(threads, parts * call.directions, [&](Index task, Scratch& scratch) {
        kernels.bptt(call, task / parts, task % parts, parts, Pairing{}, scratch);
    });
    deal_out(threads, threads, [&](Index part, Scratch& scratch) {
        for (Index i = 0; i < call.directions; ++i) {
            kernels.weight_gradient(call, i, part, threads, scratch);
            scratch.reset();
        }
        if (call.dx != nullptr) kernels.input_gradient(call, part, threads, scratch);
    });
}

template <class S>
void run_step(const Step<S>& call, const Kernels<S>& kernels, Index threads) {
    const Spec& spec = call.spec;
    const Index scalar = spec.weight_size(static_cast<Index>(sizeof(S)));
    const Index bytes = spec.gates() * spec.hidden * (spec.input + spec.output) * scalar;
    const double work = work_of(spec, call.batch);
    const bool is_short = bytes <= kMaxStepBytesAlone && work < kMaxStepWorkAlone;
    if (has_two_stages(spec) || threads < 2 || is_short)
        return run_here([&](Scratch& scratch) { kernels.step(call, 0, 1, scratch); });
    if (threads > 2 && work >= kMinWorkForRegion)
        return deal_out(threads, threads,
                        [&](Index part, Scratch& scratch) { kernels.step(call, part, threads, scratch); });
    const Index parts = std::min(kMaxStepParts, (spec.hidden + kUnitsPerPart - 1) / kUnitsPerPart);
    share_from_the_ends(
        threads, parts,
        [&](Index part) { run_here([&](Scratch& scratch) { kernels.step(call, part, parts, scratch); }); },
        bytes <= kMaxStepBytesAwake && work < kMaxStepWorkAlone);
}

template void run_forward(const Forward<float>&, const Kernels<float>&, Index);
template void run_forward(const Forward<double>&, const Kernels<double>&, Index);
template void run_backward(Backward<float>&, Index);
template void run_backward(Backward<double>&, Index);
template void run_step(const Step<float>&, const Kernels<float>&, Index);
template void run_step(const Step<double>&, const Kernels<double>&, Index);

}  // namespace unrolled
