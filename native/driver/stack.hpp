// One step of a whole stack of layers, for streams whose states are anywhere in memory.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "driver.hpp"

namespace unrolled {

/// The layers of a stack of one direction, lowest first.
template <class S>
struct Stack {
    std::vector<std::shared_ptr<const Packed<S>>> layers;
    /// Whether a layer's input is added to its output where both are equally wide.
    bool residual = false;

    const Spec& spec(std::size_t layer) const { return layers[layer]->spec(); }
    Index input() const { return spec(0).input; }
    Index output() const { return spec(0).output; }
    Index hidden() const { return spec(0).hidden; }
    bool has_cell_state() const { return spec(0).has_cell_state(); }
    /// Multiply-adds of a step of `batch` rows.
    double work(Index batch) const;
};

/// The rows of a step: x and y, one for each stream; states, layer by layer and within a layer one for each stream. y
/// and h_n alias nothing, c_n may be c_0; c_0 and c_n are empty for cells without c.
template <class S>
struct StackRows {
    std::vector<const S*> x, h_0, c_0;
    std::vector<S*> h_n, c_n, y;
    void clear();
};

template <class S>
void run_stack(const Stack<S>& stack, const StackRows<S>& rows, Index threads);

/// Owns the states of some streams that are stepped together: one set to read and one to write.
template <class S>
class StreamStates {
public:
    StreamStates(const Stack<S>& stack, Index batch);
    StreamStates(const StreamStates&) = delete;
    StreamStates& operator=(const StreamStates&) = delete;
    Index batch() const { return batch_; }
    /// Copies the states from or to (L, B, P) and (L, B, H); c is null for cells without it.
    void read(const S* h, const S* c);
    void write(S* h, S* c) const;
    /// Adds the rows of a layer of the next step.
    void add_rows(std::size_t layer, StackRows<S>& rows) const;
    /// Swaps the sets: the next step reads what the last one wrote.
    void advance() { now_ = 1 - now_; }

    /// Held during a step, and while the states are read or written.
    std::mutex guard;

private:
    S* h(Index which, Index layer, Index row) const { return data(which * sets_ + (layer * batch_ + row) * h_room_); }
    S* c(Index layer, Index row) const { return data(2 * sets_ + (layer * batch_ + row) * c_room_); }
    S* data(Index at) const { return memory_.template as<S>() + at; }
    Index layers_, batch_, h_width_, c_width_, h_room_, c_room_, sets_;
    Buffer memory_;
    Index now_ = 0;
};

}  // namespace unrolled
