// LSTM: one forward step of some units. Equations: src/unrolled/cells/lstm.py; derivation: docs/derivations/lstm.md.
#pragma once

#include "rows.hpp"
#include "tile.hpp"

namespace unrolled::UNROLLED_ISA {

/// The gates i f g o (coupled: f g o) of one block of units, c, and h or the input of the projection.
template <bool coupled>
struct LstmGates {
    static constexpr Index blocks = 1;
    template <bool, class A, class B>
    struct Pick {
        using type = A;
    };
    template <class A, class B>
    struct Pick<false, A, B> {
        using type = B;
    };
    using Sums = typename Pick<coupled, ThreeSums, FourSums>::type;

    static Place weight(Index g, Index panel, Index lanes, Index hidden) {
        return {g * hidden + panel * lanes, panel * lanes};
    }
    static BiasPlace bias(Index n, Index panel, Index lanes, Index hidden) {
        return {n * hidden + panel * lanes, panel * lanes, true, true};
    }
    template <class S>
    UNROLLED_INLINE static const S* second(const Row<S>& row) {
        return row.h_in;
    }

    template <class S>
    UNROLLED_INLINE static void finish(const S* sums, Index panel, const Row<S>& row, const CellArgs<S>& cell) {
        const Index unit = panel * kLanes<S>;
        at_width<S>(width_at<S>(unit, cell.spec.hidden),
                    [&](Index width) UNROLLED_INLINE_LAMBDA { units(sums, unit, width, row, cell); });
    }

    template <class S>
    UNROLLED_INLINE static void units(const S* sums, Index unit, Index width, const Row<S>& row,
                                      const CellArgs<S>& cell) {
        constexpr Index L = kLanes<S>;
        constexpr Index first = coupled ? -1 : 0;  // the position of i
        const Index hidden = cell.spec.hidden;
        const Vec<S> c_prev = load(row.c_prev + unit, width);
        Vec<S> a_f = load(sums + (first + 1) * L), a_o = load(sums + (first + 3) * L);
        if (cell.peephole != nullptr) a_f = a_f + load(cell.peephole + (first + 1) * hidden + unit, width) * c_prev;
        const Vec<S> f = sigmoid<S>(a_f);
        Vec<S> i;
        if constexpr (coupled) {
            i = S(1) - f;
        } else {
            Vec<S> a_i = load(sums);
            if (cell.peephole != nullptr) a_i = a_i + load(cell.peephole + unit, width) * c_prev;
            i = sigmoid<S>(a_i);
        }
        const Vec<S> g = tanh<S>(load(sums + (first + 2) * L));
        const Vec<S> c = f * c_prev + i * g;
        if (cell.peephole != nullptr) a_o = a_o + load(cell.peephole + (first + 2) * hidden + unit, width) * c;
        const Vec<S> o = sigmoid<S>(a_o);
        const Vec<S> inner = o * tanh<S>(c);
        store(row.c + unit, zoned(row.keep_c, cell.rate_c, row.c_prev, unit, width, c), width);
        if (row.inner != nullptr) {
            store(row.inner + unit, inner, width);
        } else {
            settle_h(row, cell, unit, width, inner);
        }
        if (row.gates != nullptr) {
            S* kept = row.gates + unit;
            if constexpr (!coupled) {
                store(kept, i, width);
                kept += hidden;
            }
            store(kept, f, width);
            store(kept + hidden, g, width);
            store(kept + 2 * hidden, o, width);
        }
    }
};

/// h = W_hr (o ⊙ tanh(c)), for 4 blocks of its P scalars.
struct Projection {
    static constexpr Index blocks = 4;
    using Sums = FourSums;

    template <class S>
    UNROLLED_INLINE static void finish(const S* sums, Index panel, const Row<S>& row, const CellArgs<S>& cell) {
        constexpr Index L = kLanes<S>;
        for (Index v = 0; v < blocks; ++v) {
            const Index unit = (panel * blocks + v) * L, width = width_at<S>(unit, cell.spec.output);
            if (width > 0) settle_h(row, cell, unit, width, load(sums + v * L));
        }
    }
};

}  // namespace unrolled::UNROLLED_ISA
