#include "elementwise.hpp"

#include <algorithm>
#include <utility>

#include "deal.hpp"
#include "tuning.hpp"

namespace unrolled {

using namespace tuning;

namespace {

/// Multiply-adds of a forward pass of one direction.
double work_of(const ElementwiseSpec& spec, const Schedule& plan) {
    const Index depth = spec.products() * spec.input + (spec.is_mapped() ? 2 * spec.hidden : 0);
    return static_cast<double>(plan.offset[plan.steps]) * static_cast<double>(spec.hidden * depth);
}

/// How much longer the longest of `parts` takes than their mean.
double imbalance(Index items, Index parts) {
    const Index most = (items + parts - 1) / parts;
    return static_cast<double>(most * parts) / static_cast<double>(std::max<Index>(items, 1));
}

/// How the sequences and the units of one direction are divided, for `threads` threads.
Patch divide(const ElementwiseSpec& spec, const Schedule& plan, Index threads, Index panels, bool may_split_units) {
    Patch patch;
    if (work_of(spec, plan) < kMinWorkToDeal || threads < 2) return patch;
    const Index split = std::min(threads, panels);
    if (may_split_units && imbalance(panels, split) < imbalance(plan.count, threads)) {
        patch.unit_parts = split;
        return patch;
    }
    patch.row_parts = std::max<Index>(1, std::min(threads, plan.count));
    if (may_split_units) patch.unit_parts = std::clamp<Index>(threads / patch.row_parts, 1, panels);
    return patch;
}

/// Runs job(direction, patch, scratch) for every patch of every direction.
template <class F>
void deal_patches(Index threads, Index directions, const Patch& grid, F&& job) {
    const Index parts = grid.row_parts * grid.unit_parts;
    if (parts == 1 && directions == 1) threads = 1;
    deal_out(threads, parts * directions, [&](Index task, Scratch& scratch) {
        Patch patch = grid;
        patch.row_part = task % parts / grid.unit_parts;
        patch.unit_part = task % grid.unit_parts;
        job(task / parts, patch, scratch);
    });
}

/// The gradients of a map of the states to the output, h = W s: of W, (H, 2H), and of s.
template <class S>
Backward<S> map_gradients(const ElementwiseBackward<S>& call, const Plan& rows) {
    const Index H = call.spec.hidden;
    Backward<S> map;
    map.spec.kind = Kind::rnn;
    map.spec.input = 2 * H, map.spec.hidden = H, map.spec.output = 0;
    map.schedule = rows.schedule();
    map.x_batch = map.dx_batch = 2 * H;
    return map;
}

/// The gradients of the gates' products: of weight_ih, of the biases and of x.
template <class S>
Backward<S> input_gradients(const ElementwiseBackward<S>& call) {
    Backward<S> products;
    products.spec.kind = Kind::rnn;
    products.spec.input = call.spec.input, products.spec.hidden = call.spec.products() * call.spec.hidden;
    products.spec.output = 0;
    products.schedule = call.schedule;
    products.x = call.x, products.x_time = call.x_time, products.x_batch = call.x_batch;
    products.dx = call.dx, products.dx_time = call.dx_time, products.dx_batch = call.dx_batch;
    products.directions = call.directions;
    for (Index i = 0; i < call.directions; ++i) {
        const ElementwiseBackwardDirection<S>& from = call.direction[i];
        BackwardDirection<S>& to = products.direction[i];
        to.reverse = from.reverse, to.dgates = from.dgates;
        to.dweight_ih = from.dweight_ih, to.dbias_ih = from.dbias_ih;
    }
    return products;
}

/// A weight (rows, columns), packed for products with its rows as k.
template <class S>
std::unique_ptr<Buffer> by_columns(const Kernels<S>& kernels, const S* weight, Index rows, Index columns) {
    auto packed = std::make_unique<Buffer>(kernels.columns_size(Products::whole, rows, columns));
    kernels.pack_columns(Products::whole, weight, rows, columns, packed->template as<void>());
    return packed;
}

}  // namespace

template <class S>
ElementwisePacked<S>::ElementwisePacked(const ElementwiseSpec& spec, const ElementwiseWeights<S>& weights)
    : spec_(spec),
      biased_(weights.biased),
      kernels_(kernels_of<S>(variant())),
      blocks_(kernels_.elementwise->blocks_size(spec.products(), spec.hidden, spec.input) *
              static_cast<Index>(sizeof(S))) {
    kernels_.elementwise->pack_blocks(weights.weight_ih, weights.bias_ih, spec.products(), weights.biased, spec.hidden,
                                      spec.input, blocks_.template as<S>());
    if (!spec.is_mapped()) return;
    const Index H = spec.hidden;
    output_ = std::make_unique<Buffer>(kernels_.columns_size(Products::whole, 2 * H, H));
    kernels_.pack_transposed(weights.weight_output, H, 2 * H, output_->template as<S>());
}

template <class S>
std::uint64_t ElementwisePacked<S>::digest(const ElementwiseWeights<S>& weights) const {
    const Index H = spec_.hidden, rows = spec_.products() * H;
    const std::pair<const S*, Index> tensors[] = {
        {weights.weight_ih, rows * spec_.input}, {weights.bias_ih, biased_ * H}, {weights.weight_output, 2 * H * H}};
    std::uint64_t mixed = 0;
    for (const auto& [data, count] : tensors)
        if (data != nullptr) mixed = (mixed ^ kernels_.digest(data, count * static_cast<Index>(sizeof(S)))) * 0x9e3779b97f4a7c15U + 1;
    return mixed;
}

template <class S>
void run_elementwise_forward(const ElementwiseForward<S>& call, const Kernels<S>& kernels, Index threads) {
    const ElementwiseKernels<S>& own = *kernels.elementwise;
    const ElementwiseSpec& spec = call.spec;
    const Schedule& plan = call.schedule;
    const bool maps_later = spec.is_mapped() && call.direction[0].kept != nullptr;
    const Patch grid = divide(spec, plan, std::max<Index>(1, threads / call.directions), own.panels(spec.hidden),
                                 maps_later || !spec.is_mapped());
    deal_patches(threads, call.directions, grid, [&](Index direction, const Patch& patch, Scratch& scratch) {
        own.forward(call, direction, patch, scratch);
    });
    if (!maps_later) return;
    const Index parts = work_of(spec, plan) < kMinWorkToDeal ? 1 : threads;
    deal_out(parts, parts, [&](Index part, Scratch& scratch) {
        for (Index i = 0; i < call.directions; ++i) own.map(call, i, part, parts, scratch);
    });
}

template <class S>
void run_elementwise_backward(const ElementwiseBackward<S>& call, const Kernels<S>& kernels, Index threads) {
    const ElementwiseKernels<S>& own = *kernels.elementwise;
    const ElementwiseSpec& spec = call.spec;
    const Schedule& plan = call.schedule;
    const Index H = spec.hidden, all = plan.offset[plan.steps];
    if (work_of(spec, plan) < kMinWorkToDeal) threads = 1;

    const Plan rows(1, spec.is_mapped() ? all : 0, nullptr);
    for (Index i = 0; spec.is_mapped() && i < call.directions; ++i) {
        const ElementwiseBackwardDirection<S>& d = call.direction[i];
        const std::unique_ptr<Buffer> packed = by_columns(kernels, d.weight_output, H, 2 * H);
        Backward<S> map = map_gradients(call, rows);
        map.dx = d.dkept;
        map.direction[0].dgates = d.dh;
        map.direction[0].input_packed = packed->template as<S>();
        deal_out(threads, threads, [&](Index part, Scratch& scratch) {
            // the rows of a part are the same in both
            own.gather(call, i, part, threads);
            kernels.input_gradient(map, part, threads, scratch);
        });
    }

    const Patch grid = divide(spec, plan, std::max<Index>(1, threads / call.directions), own.panels(H), true);
    deal_patches(threads, call.directions, grid, [&](Index direction, const Patch& patch, Scratch& scratch) {
        own.bptt(call, direction, patch, scratch);
    });

    Backward<S> products = input_gradients(call);
    std::unique_ptr<Buffer> packed[2];
    for (Index i = 0; call.dx != nullptr && i < call.directions; ++i) {
        packed[i] = by_columns(kernels, call.direction[i].weight_ih, products.spec.hidden, spec.input);
        products.direction[i].input_packed = packed[i]->template as<S>();
    }
    deal_out(threads, threads, [&](Index part, Scratch& scratch) {
        for (Index i = 0; i < call.directions; ++i) {
            const ElementwiseBackwardDirection<S>& d = call.direction[i];
            if (d.dweight_ih != nullptr || d.dbias_ih != nullptr)
                kernels.weight_gradient(products, i, part, threads, scratch);
            scratch.reset();
            if (d.dweight_output == nullptr) continue;
            Backward<S> map = map_gradients(call, rows);
            map.x = d.kept;
            map.direction[0].dgates = d.dh;
            map.direction[0].dweight_ih = d.dweight_output;
            kernels.weight_gradient(map, 0, part, threads, scratch);
            scratch.reset();
        }
        if (call.dx == nullptr) return;
        kernels.input_gradient(products, part, threads, scratch);
        if (spec.carries_input) own.add_carried(call, part, threads);
    });
}

template class ElementwisePacked<float>;
template class ElementwisePacked<double>;
template void run_elementwise_forward(const ElementwiseForward<float>&, const Kernels<float>&, Index);
template void run_elementwise_forward(const ElementwiseForward<double>&, const Kernels<double>&, Index);
template void run_elementwise_backward(const ElementwiseBackward<float>&, const Kernels<float>&, Index);
template void run_elementwise_backward(const ElementwiseBackward<double>&, const Kernels<double>&, Index);

}  // namespace unrolled
