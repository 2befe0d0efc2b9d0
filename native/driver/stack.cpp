#include "stack.hpp"

#include <cstring>

namespace unrolled {

namespace {

/// Scalars of a row that ends with its cache line.
template <class S>
Index padded(Index width) {
    constexpr Index line = 64 / static_cast<Index>(sizeof(S));
    return (width + line - 1) / line * line;
}

}  // namespace

template <class S>
double Stack<S>::work(Index batch) const {
    double all = 0;
    for (const auto& layer : layers) all += work_of(layer->spec(), batch);
    return all;
}

template <class S>
void StackRows<S>::clear() {
    for (auto* rows : {&x, &h_0, &c_0}) rows->clear();
    for (auto* rows : {&h_n, &c_n, &y}) rows->clear();
}

template <class S>
void run_stack(const Stack<S>& stack, const StackRows<S>& rows, Index threads) {
    const std::size_t batch = rows.x.size();
    const std::size_t width = static_cast<std::size_t>(stack.output());
    std::vector<const S*> inputs;
    std::vector<S> sums;
    const S* const* x = rows.x.data();
    for (std::size_t layer = 0; layer < stack.layers.size(); ++layer) {
        const Packed<S>& packed = *stack.layers[layer];
        const std::size_t first = layer * batch;
        Step<S> step;
        step.spec = packed.spec();
        step.batch = static_cast<Index>(batch);
        step.gates_packed = packed.gates();
        step.projection_packed = packed.projection();
        step.peephole = packed.peephole();
        step.x = x;
        step.h_0 = rows.h_0.data() + first;
        step.c_0 = rows.c_0.empty() ? nullptr : rows.c_0.data() + first;
        step.h_n = rows.h_n.data() + first;
        step.c_n = rows.c_n.empty() ? nullptr : rows.c_n.data() + first;
        run_step(step, packed.kernels(), threads);
        const bool adds = stack.residual && step.spec.input == step.spec.output;
        if (!adds) {
            x = step.h_n;
            continue;
        }
        // a layer reads the sums of the one before, so that two sets alternate
        if (sums.empty()) sums.resize(2 * batch * width);
        if (inputs.empty()) inputs.resize(2 * batch);
        const S** next = inputs.data() + layer % 2 * batch;
        for (std::size_t b = 0; b < batch; ++b) {
            S* sum = sums.data() + (layer % 2 * batch + b) * width;
            for (std::size_t i = 0; i < width; ++i) sum[i] = step.h_n[b][i] + x[b][i];
            next[b] = sum;
        }
        x = next;
    }
    for (std::size_t b = 0; b < batch; ++b) std::memcpy(rows.y[b], x[b], width * sizeof(S));
}

template <class S>
StreamStates<S>::StreamStates(const Stack<S>& stack, Index batch)
    : layers_(static_cast<Index>(stack.layers.size())),
      batch_(batch),
      h_width_(stack.output()),
      c_width_(stack.has_cell_state() ? stack.hidden() : 0),
      h_room_(padded<S>(h_width_)),
      c_room_(padded<S>(c_width_)),
      sets_(layers_ * batch * h_room_),
      memory_((2 * sets_ + layers_ * batch * c_room_) * static_cast<Index>(sizeof(S))) {
    std::memset(memory_.template as<S>(), 0, static_cast<std::size_t>(memory_.size()));
}

template <class S>
void StreamStates<S>::read(const S* from_h, const S* from_c) {
    for (Index layer = 0; layer < layers_; ++layer)
        for (Index b = 0; b < batch_; ++b) {
            const Index row = layer * batch_ + b;
            std::memcpy(h(now_, layer, b), from_h + row * h_width_, static_cast<std::size_t>(h_width_) * sizeof(S));
            if (c_width_)
                std::memcpy(c(layer, b), from_c + row * c_width_, static_cast<std::size_t>(c_width_) * sizeof(S));
        }
}

template <class S>
void StreamStates<S>::write(S* to_h, S* to_c) const {
    for (Index layer = 0; layer < layers_; ++layer)
        for (Index b = 0; b < batch_; ++b) {
            const Index row = layer * batch_ + b;
            std::memcpy(to_h + row * h_width_, h(now_, layer, b), static_cast<std::size_t>(h_width_) * sizeof(S));
            if (c_width_)
                std::memcpy(to_c + row * c_width_, c(layer, b), static_cast<std::size_t>(c_width_) * sizeof(S));
        }
}

template <class S>
void StreamStates<S>::add_rows(std::size_t layer, StackRows<S>& rows) const {
    const Index at = static_cast<Index>(layer);
    for (Index b = 0; b < batch_; ++b) {
        rows.h_0.push_back(h(now_, at, b));
        rows.h_n.push_back(h(1 - now_, at, b));
        if (c_width_) {
            rows.c_0.push_back(c(at, b));
            rows.c_n.push_back(c(at, b));
        }
    }
}

template struct Stack<float>;
template struct Stack<double>;
template struct StackRows<float>;
template struct StackRows<double>;
template class StreamStates<float>;
template class StreamStates<double>;
template void run_stack(const Stack<float>&, const StackRows<float>&, Index);
template void run_stack(const Stack<double>&, const StackRows<double>&, Index);

}  // namespace unrolled
