// One sequence at one step: the addresses of all that the step reads and writes.
#pragma once

#include "activations.hpp"
#include "engine.hpp"

namespace unrolled::UNROLLED_ISA {

/// One sequence at one step of a forward pass: pointers to its own rows, of P or H scalars.
template <class S>
struct Row {
    const S* x;
    const S* start;   // the input's share of all sums, computed ahead, or null
    const S* h_in;    // h as the products read it: masked by recurrent dropout
    const S* h_prev;  // the previous h
    const S* c_prev;
    S* h;
    S* c;         // may alias c_prev
    S* h_masked;  // h ⊙ mask for the next step, or null
    S* inner;     // the input of a second stage: LSTM o ⊙ tanh(c) before projection, GRU r ⊙ h before the product
    S* z;         // GRU with two stages
    S* gates;     // where training saves the gates, or null
    const S* mask;
    const std::uint8_t* keep_h;
    const std::uint8_t* keep_c;
};

/// The arguments of a cell that are the same for all rows.
template <class S>
struct CellArgs {
    Spec spec;
    const S* peephole = nullptr;
    S rate_h = 0, rate_c = 0;
    void* factors = nullptr;  // memory for the factors of a step's rows
};

/// The units of a block: all lanes, or fewer in the last block.
template <class S>
UNROLLED_INLINE Index width_at(Index unit, Index hidden) {
    return hidden - unit < kLanes<S> ? hidden - unit : kLanes<S>;
}

/// Calls body(width), which is compiled twice: for whole vectors, without tests of single lanes, and for the last
/// units.
template <class S, class Body>
UNROLLED_INLINE void at_width(Index width, Body body) {
    if (width == kLanes<S>) {
        body(kLanes<S>);
    } else if (width > 0) {
        body(width);
    }
}

/// 0 and 1 bytes as 0.0 and 1.0.
template <class S>
UNROLLED_INLINE Vec<S> load_flags(const std::uint8_t* from, Index width) {
    Vec<S> v = {};
    for (Index i = 0; i < width; ++i) v[i] = static_cast<S>(from[i]);
    return v;
}

/// Zoneout: the old value where it is kept, or the mixture of old and new in evaluation.
template <class S>
UNROLLED_INLINE Vec<S> zoned(const std::uint8_t* keep, S rate, const S* old, Index unit, Index width, Vec<S> value) {
    if (keep != nullptr) return load_flags<S>(keep + unit, width) != S(0) ? load(old + unit, width) : value;
    if (rate != S(0)) return rate * load(old + unit, width) + (S(1) - rate) * value;
    return value;
}

/// Stores a new h: after zoneout, as the output, and masked for the products of the next step.
template <class S>
UNROLLED_INLINE void settle_h(const Row<S>& row, const CellArgs<S>& cell, Index unit, Index width, Vec<S> value) {
    value = zoned(row.keep_h, cell.rate_h, row.h_prev, unit, width, value);
    store(row.h + unit, value, width);
    if (row.h_masked != nullptr) store(row.h_masked + unit, value * load(row.mask + unit, width), width);
}

template <class S>
UNROLLED_INLINE Vec<S> apply(Nonlinearity f, Vec<S> x) {
    switch (f) {
        case Nonlinearity::relu:
            return relu<S>(x);
        case Nonlinearity::sigmoid:
            return sigmoid<S>(x);
        default:
            return tanh<S>(x);
    }
}

/// The source of one vector of packed weights or bias: `row` of the parameter, `unit` of the cell.
struct Place {
    Index row, unit;
};
struct BiasPlace {
    Index row, unit;
    bool of_input, of_hidden;
};

}  // namespace unrolled::UNROLLED_ISA
