// GRU: one forward step of some units. Equations: src/unrolled/cells/gru.py; derivation: docs/derivations/gru.md.
#pragma once

#include "rows.hpp"
#include "tile.hpp"

namespace unrolled::UNROLLED_ISA {

/// r, z and n of one block of units, with the reset after the product: four sums, since r scales W_hn h + b_hn only.
struct GruGates {
    static constexpr Index blocks = 1;
    using Sums = SplitSums;

    static Place weight(Index g, Index panel, Index lanes, Index hidden) {
        return {g * hidden + panel * lanes, panel * lanes};
    }
    static BiasPlace bias(Index n, Index panel, Index lanes, Index hidden) {
        const Index gate = n < 2 ? n : 2;
        return {gate * hidden + panel * lanes, panel * lanes, n != 3, n != 2};
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
        const Index hidden = cell.spec.hidden;
        const Vec<S> h_prev = load(row.h_prev + unit, width);
        const Vec<S> r = sigmoid<S>(load(sums)), z = sigmoid<S>(load(sums + L));
        const Vec<S> h_n = load(sums + 3 * L);
        const Vec<S> n = tanh<S>(load(sums + 2 * L) + r * h_n);
        settle_h(row, cell, unit, width, n + z * (h_prev - n));
        if (row.gates != nullptr) {
            store(row.gates + unit, r, width);
            store(row.gates + hidden + unit, z, width);
            store(row.gates + 2 * hidden + unit, n, width);
            store(row.gates + 3 * hidden + unit, h_n, width);
        }
    }
};

/// The first stage if the reset comes before the product: r and z, and r ⊙ h for the second.
struct GruResets {
    static constexpr Index blocks = 1;
    using Sums = TwoSums;

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
        const Index hidden = cell.spec.hidden;
        const Vec<S> r = sigmoid<S>(load(sums)), z = sigmoid<S>(load(sums + L));
        store(row.inner + unit, r * load(row.h_in + unit, width), width);
        store(row.z + unit, z, width);
        if (row.gates != nullptr) {
            store(row.gates + unit, r, width);
            store(row.gates + hidden + unit, z, width);
        }
    }
};

/// The second stage: n, from x and r ⊙ h, and the new h, for 4 blocks of units.
struct GruCandidate {
    static constexpr Index blocks = 4;
    using Sums = FourSums;

    static Place weight(Index g, Index panel, Index lanes, Index hidden) {
        const Index unit = (panel * blocks + g) * lanes;
        return {2 * hidden + unit, unit};
    }
    static BiasPlace bias(Index n, Index panel, Index lanes, Index hidden) {
        const Index unit = (panel * blocks + n) * lanes;
        return {2 * hidden + unit, unit, true, true};
    }
    template <class S>
    UNROLLED_INLINE static const S* second(const Row<S>& row) {
        return row.inner;
    }

    template <class S>
    UNROLLED_INLINE static void finish(const S* sums, Index panel, const Row<S>& row, const CellArgs<S>& cell) {
        constexpr Index L = kLanes<S>;
        const Index hidden = cell.spec.hidden;
        for (Index v = 0; v < blocks; ++v) {
            const Index unit = (panel * blocks + v) * L, width = width_at<S>(unit, hidden);
            if (width <= 0) continue;
            const Vec<S> n = tanh<S>(load(sums + v * L));
            const Vec<S> h_prev = load(row.h_prev + unit, width), z = load(row.z + unit, width);
            settle_h(row, cell, unit, width, n + z * (h_prev - n));
            if (row.gates != nullptr) store(row.gates + 2 * hidden + unit, n, width);
        }
    }
};

}  // namespace unrolled::UNROLLED_ISA
