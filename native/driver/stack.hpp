// One step of a whole stack of layers, for streams whose states lie anywhere.
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
    /// Multiply-adds of a step of so many rows.
    double work(Index batch) const;
};

/// Rows of a step: x and y one a stream, states layer after layer and in each one a stream. y and h_n alias nothing,
/// c_n may be c_0; c_0 and c_n are empty for cells without c.
template <class S>
struct StackRows {
    std::vector<const S*> x, h_0, c_0;
    std::vector<S*> h_n, c_n, y;
    void clear();
};

template <class S>
void run_stack(const Stack<S>& stack, const StackRows<S>& rows, Index threads);

/// The states of some streams that are stepped together, kept here: one set to read, one to write.
template <class S>
class StreamStates {
public:
    StreamStates(const Stack<S>& stack, Index batch);
    StreamStates(const StreamStates&) = delete;
    StreamStates& operator=(const StreamStates&) = delete;
    Index batch() const { return batch_; }
    /// Copies from or to (L, B, P) and (L, B, H); null c for cells without.
    void read(const S* h, const S* c);
    void write(S* h, S* c) const;
    /// Adds the rows of a layer of the next step.
    void add_rows(std::size_t layer, StackRows<S>& rows) const;
    /// What was written becomes what is read.
    void advance() { now_ = 1 - now_; }

    /// Held during a step, and by whoever reads or writes.
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
