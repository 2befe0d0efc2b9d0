#include "packed.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "runtime/helper.hpp"
#include "tuning.hpp"

namespace unrolled {

using namespace tuning;

bool is_worth_sharing(Index bytes) {
    return bytes >= (round_trip() > kFarRoundTrip ? kMinPackedBytesSharedFar : kMinPackedBytesShared);
}

template <class S>
Packed<S>::Packed(const Spec& spec, const Parameters<S>& parameters, Index threads)
    : spec_(spec),
      kernels_(kernels_of<S>(variant())),
      gates_(kernels_.gates_size(spec)) {
    const Index parts = is_worth_sharing(gates_.size()) ? kPackingParts : 1;
    share(threads, parts, [&](Index part) {
        kernels_.pack_gates(spec, parameters, gates_.template as<void>(), part, parts, Scratch::of_thread());
    });
    if (spec.is_projected()) {
        projection_ =
            std::make_unique<Buffer>(kernels_.columns_size(Products::whole, spec.hidden, spec.output));
        kernels_.pack_transposed(parameters.weight_hr, spec.output, spec.hidden, projection_->template as<S>());
    }
    if (spec.peephole) {
        const auto bytes = static_cast<std::size_t>((spec.gates() - 1) * spec.hidden) * sizeof(S);
        peephole_ = std::make_unique<Buffer>(static_cast<Index>(bytes));
        std::memcpy(peephole_->template as<S>(), parameters.weight_peephole, bytes);
    }
}

template <class S>
std::uint64_t Packed<S>::digest(const ParameterAddresses& parameters, Index size) const {
    const Index rows = spec_.gates() * spec_.hidden;
    const Index counts[] = {
        rows * spec_.input, rows * spec_.output, rows, rows, spec_.output * spec_.hidden, rows - spec_.hidden};
    std::uint64_t mixed = 0;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
        if (parameters[i] == 0) continue;
        const void* data = reinterpret_cast<const void*>(static_cast<std::uintptr_t>(parameters[i]));
        mixed = (mixed ^ kernels_.digest(data, counts[i] * size)) * 0x9e3779b97f4a7c15U + 1;
    }
    return mixed;
}

template <class S>
Index Packed<S>::bytes() const {
    return gates_.size() + (projection_ ? projection_->size() : 0) + (peephole_ ? peephole_->size() : 0);
}

template <class S>
BackwardWeights<S>::BackwardWeights(Backward<S>& call, const Kernels<S>& kernels, Index threads) : kernels_(kernels) {
    const Spec& spec = call.spec;
    const Index H = spec.hidden, G = spec.gates();
    const bool resets_before = spec.kind == Kind::gru && !spec.reset_after;
    for (Index i = 0; i < call.directions; ++i) {
        BackwardDirection<S>& d = call.direction[i];
        const Parameters<S>& p = d.parameters;
        d.hidden_packed = add(p.weight_hh, spec.products, (resets_before ? 2 : G) * H, spec.output);
        if (resets_before) d.candidate_packed = add(p.weight_hh + 2 * H * H, spec.products, H, H);
        if (spec.is_projected()) d.projection_packed = add(p.weight_hr, Products::whole, spec.output, H);
        if (call.dx == nullptr) continue;
        const S* weight_ih = spec.kind == Kind::gru ? reordered(p.weight_ih, spec) : p.weight_ih;
        d.input_packed = add(weight_ih, spec.products, G * H, spec.input);
    }
    const Index bytes = G * H * (spec.input + spec.output) * static_cast<Index>(sizeof(S));
    share(is_worth_sharing(bytes) ? threads : 1, static_cast<Index>(matrices_.size()), [&](Index i) {
        const Matrix& matrix = matrices_[static_cast<std::size_t>(i)];
        void* packed = matrix.packed->template as<void>();
        kernels.pack_columns(matrix.products, matrix.from, matrix.rows, matrix.columns, packed);
    });
}

template <class S>
const void* BackwardWeights<S>::add(const S* from, Products products, Index rows, Index columns) {
    const Index bytes = kernels_.columns_size(products, rows, columns);
    matrices_.push_back({from, products, rows, columns, std::make_unique<Buffer>(bytes)});
    return matrices_.back().packed->template as<void>();
}

template <class S>
const S* BackwardWeights<S>::reordered(const S* weight, const Spec& spec) {
    const Index gate = spec.hidden * spec.input;
    reordered_.push_back(std::make_unique<Buffer>(3 * gate * static_cast<Index>(sizeof(S))));
    S* to = reordered_.back()->template as<S>();
    std::memcpy(to, weight + 2 * gate, static_cast<std::size_t>(gate) * sizeof(S));
    std::memcpy(to + gate, weight, static_cast<std::size_t>(2 * gate) * sizeof(S));
    return to;
}

namespace {

std::vector<Sequence> one_in_each_row(Index time, Index batch, const std::int64_t* lengths) {
    std::vector<Sequence> sequences;
    for (Index b = 0; b < batch; ++b) sequences.push_back({b, 0, lengths == nullptr ? time : lengths[b]});
    return sequences;
}

}  // namespace

Plan::Plan(Index time, Index batch, const std::int64_t* lengths)
    : Plan(time, batch, one_in_each_row(time, batch, lengths).data(), batch) {}

Plan::Plan(Index time, Index batch, const Sequence* sequences, Index count) : sequence_(count) {
    std::iota(sequence_.begin(), sequence_.end(), Index{0});
    std::stable_sort(sequence_.begin(), sequence_.end(),
                     [&](Index a, Index b) { return sequences[a].length > sequences[b].length; });
    for (const Index n : sequence_) {
        const bool is_last = n + 1 == count || sequences[n + 1].row != sequences[n].row;
        row_.push_back(sequences[n].row);
        begin_.push_back(sequences[n].begin);
        length_.push_back(sequences[n].length);
        until_.push_back(is_last ? time : sequences[n + 1].begin);
    }
    const Index steps = count ? length_.front() : 0;
    running_.resize(steps + 1);
    offset_.resize(steps + 1);
    Index running = count, all = 0;
    for (Index s = 0; s <= steps; ++s) {
        while (running > 0 && length_[running - 1] <= s) --running;
        running_[s] = running;
        offset_[s] = all;
        all += running;
    }
    schedule_ = {time,           batch,          count,         steps,           sequence_.data(), row_.data(),
                 begin_.data(), length_.data(), until_.data(), running_.data(), offset_.data()};
}

template class Packed<float>;
template class Packed<double>;
template class BackwardWeights<float>;
template class BackwardWeights<double>;

}  // namespace unrolled
