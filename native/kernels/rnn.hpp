// The vanilla cell: one forward step of some units. Equations: src/unrolled/cells/rnn.py.
#pragma once

#include "rows.hpp"
#include "tile.hpp"

namespace unrolled::UNROLLED_ISA {

/// h = φ(…) for 4 blocks of units.
struct RnnGate {
    static constexpr Index blocks = 4;
    using Sums = FourSums;

    static Place weight(Index g, Index panel, Index lanes, Index) {
        const Index unit = (panel * blocks + g) * lanes;
        return {unit, unit};
    }
    static BiasPlace bias(Index n, Index panel, Index lanes, Index) {
        const Index unit = (panel * blocks + n) * lanes;
        return {unit, unit, true, true};
    }
    template <class S>
    UNROLLED_INLINE static const S* second(const Row<S>& row) {
        return row.h_in;
    }

    template <class S>
    UNROLLED_INLINE static void finish(const S* sums, Index panel, const Row<S>& row, const CellArgs<S>& cell) {
        constexpr Index L = kLanes<S>;
        for (Index v = 0; v < blocks; ++v) {
            const Index unit = (panel * blocks + v) * L, width = width_at<S>(unit, cell.spec.hidden);
            at_width<S>(width, [&](Index lanes) UNROLLED_INLINE_LAMBDA {
                settle_h(row, cell, unit, lanes, apply<S>(cell.spec.nonlinearity, load(sums + v * L)));
            });
        }
    }
};

}  // namespace unrolled::UNROLLED_ISA
