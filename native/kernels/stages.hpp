// The stages of a step: panels of packed weights times the rows of a batch, and the cell's arithmetic on the sums.
#pragma once

#include "factors.hpp"
#include "gru.hpp"
#include "lstm.hpp"
#include "pack.hpp"
#include "rnn.hpp"

namespace unrolled::UNROLLED_ISA {

/// One thread's share of the panels of a product.
struct Share {
    Index part = 0, parts = 1;
    Index begin(Index panels) const { return cut(panels, part); }
    Index end(Index panels) const { return cut(panels, part + 1); }

private:
    /// Panels are divided in pairs if there are enough: a single row takes two at once.
    Index cut(Index panels, Index at) const {
        if (panels < 2 * parts) return panels * at / parts;
        const Index end = (panels + 1) / 2 * at / parts * 2;
        return end < panels ? end : panels;
    }
};

/// Prefetches what will be written of some units: it is not in the cache, and a tile takes long enough to fetch it.
template <class S, class Stage>
UNROLLED_INLINE void prefetch_results(const Row<S>& row, Index panel, Index panels, const Spec& spec) {
    const Index unit = panel * Stage::blocks * kLanes<S>, count = Stage::blocks * kLanes<S> * panels;
    const Index some = spec.hidden - unit < count ? spec.hidden - unit : count;
    for (Index g = 0; row.gates != nullptr && g < spec.saved_gates(); ++g)
        prefetch_writes(row.gates + g * spec.hidden + unit, some);
    if (row.c != nullptr) prefetch_writes(row.c + unit, some);
    prefetch_writes(row.h + unit, some);
}

/// Runs one stage of a step for `n` rows, over its panels from `begin` to `end` or back: steps alternate, so that each
/// begins with the weights that the one before left in the cache.
template <class S, class F, class Stage>
void run_stage(const StageWeights& w, const Row<S>* rows, Index n, const CellArgs<S>& cell, Index begin, Index end,
               bool backwards = false) {
    constexpr Index L = kLanes<S>;
    constexpr Index N = Stage::Sums::sums;
    alignas(64) S tile_sums[kTileSums<S>];
    const Tiling tiling(n);
    const bool has_start = rows[0].start != nullptr;
    Factors<S, F> x(cell.factors, w.x_depth);
    Factors<S, F> h(static_cast<char*>(cell.factors) + Factors<S, F>::size(n, w.x_depth), w.h_depth);
    for (Index i = 0; i < n; ++i) {
        if (!has_start) x.set(i, rows[i].x);
        h.set(i, Stage::template second<S>(rows[i]));
    }
    const Index most = n == 1 ? 2 : 1, turns = (end - begin + most - 1) / most;
    for (Index turn = 0; turn < turns; ++turn) {
        const Index panel = begin + (backwards ? turns - 1 - turn : turn) * most;
        const Index count = panel + most <= end ? most : 1;
        const char* weights = w.packed + panel * w.panel_size;
        TileArgs<S, F> args;
        args.start_stride = has_start ? N * UNROLLED_VECTOR_BYTES : w.panel_size;
        args.first.weights = reinterpret_cast<const typename F::Weight*>(weights + w.x_place);
        args.first.depth = has_start ? 0 : w.x_depth;
        args.first.panel_stride = args.second.panel_stride = w.panel_size;
        args.second.weights = reinterpret_cast<const typename F::Weight*>(weights + w.h_place);
        args.second.depth = w.h_depth;
        for (Index t = 0; t < tiling.count; ++t) {
            const Index first = tiling.begin(t), height = tiling.height(t);
            const Row<S>* some = rows + first;
            for (Index r = 0; r < height; ++r) {
                args.start[r] =
                    has_start ? some[r].start + w.start_offset + panel * N * L : reinterpret_cast<const S*>(weights);
                args.first.rows[r] = x.at(first + r, some[r].x);
                args.second.rows[r] = h.at(first + r, Stage::template second<S>(some[r]));
                if (some[r].gates != nullptr || has_start) prefetch_results<S, Stage>(some[r], panel, count, cell.spec);
            }
            run_tile<S, typename Stage::Sums>(height, count, args, tile_sums);
            for (Index p = 0; p < count; ++p)
                for (Index r = 0; r < height; ++r)
                    Stage::template finish<S>(tile_sums + (p * height + r) * N * L, panel + p, some[r], cell);
        }
    }
}

/// Runs the projection of LSTM, which has neither bias nor input.
template <class S>
void run_projection(const S* packed, const Row<S>* rows, Index n, const CellArgs<S>& cell) {
    constexpr Index L = kLanes<S>;
    alignas(64) S tile_sums[kTileSums<S>];
    const Tiling tiling(n);
    const Index panel_size = cell.spec.hidden * 4 * L, panels = (cell.spec.output + 4 * L - 1) / (4 * L);
    for (Index panel = 0; panel < panels; ++panel) {
        TileArgs<S> args;
        args.first.weights = packed + panel * panel_size;
        args.first.depth = cell.spec.hidden;
        for (Index t = 0; t < tiling.count; ++t) {
            const Row<S>* some = rows + tiling.begin(t);
            const Index height = tiling.height(t);
            for (Index r = 0; r < height; ++r) args.start[r] = nullptr, args.first.rows[r] = some[r].inner;
            run_tile<S, FourSums>(height, 1, args, tile_sums);
            for (Index r = 0; r < height; ++r) Projection::finish<S>(tile_sums + r * 4 * L, panel, some[r], cell);
        }
    }
}

/// Computes the input's share of the sums of one stage with bias: to[row · ld + start_offset + panel · sums · lanes].
template <class S, class F, class Stage>
void project_stage(const StageWeights& w, const Factors<S, F>& factors, const S* const* x, Index n, S* to, Index ld,
                   Share share) {
    constexpr Index L = kLanes<S>;
    constexpr Index N = Stage::Sums::sums;
    alignas(64) S tile_sums[kTileSums<S>];
    const Tiling tiling(n);
    for (Index panel = share.begin(w.panels); panel < share.end(w.panels); ++panel) {
        const char* weights = w.packed + panel * w.panel_size;
        TileArgs<S, F> args;
        args.first.weights = reinterpret_cast<const typename F::Weight*>(weights + w.x_place);
        args.first.depth = w.x_depth;
        for (Index t = 0; t < tiling.count; ++t) {
            const Index height = tiling.height(t), begin = tiling.begin(t);
            for (Index r = 0; r < height; ++r) {
                args.start[r] = reinterpret_cast<const S*>(weights);
                args.first.rows[r] = factors.at(begin + r, x[begin + r]);
            }
            run_tile<S, typename Stage::Sums>(height, 1, args, tile_sums);
            for (Index r = 0; r < height; ++r)
                std::memcpy(to + (begin + r) * ld + w.start_offset + panel * N * L, tile_sums + r * N * L,
                            N * L * sizeof(S));
        }
    }
}

/// A cell as the stages of its step, in order, with products of format F.
template <class S, class F, class... Stages>
struct CellStages {
    using Format = F;
    struct Weights {
        StageWeights of[sizeof...(Stages)];
        Index start_size = 0;  // a row of projected inputs, in scalars
        Index size = 0;        // all packed weights, in bytes
        Weights(const Spec& spec, const void* packed) {
            Index i = 0;
            ((of[i] = stage_weights<S, F, Stages>(spec), of[i].packed = static_cast<const char*>(packed) + size,
              of[i].start_offset = start_size, size += of[i].panels * of[i].panel_size,
              start_size += of[i].panels * Stages::Sums::sums * kLanes<S>, ++i),
             ...);
        }
    };

    static Index size(const Spec& spec) { return Weights(spec, nullptr).size; }

    static void pack(const Spec& spec, const Parameters<S>& from, void* packed, Share share, Scratch& scratch) {
        const Weights w(spec, packed);
        Index i = 0;
        ((pack_stage<S, F, Stages>(spec, from, const_cast<char*>(w.of[i].packed), share.begin(w.of[i].panels),
                                   share.end(w.of[i].panels), scratch),
          ++i),
         ...);
    }

    static void run(const Weights& w, const S* projection, const Row<S>* rows, Index n, const CellArgs<S>& cell,
                    bool backwards = false) {
        Index i = 0;
        ((run_stage<S, F, Stages>(w.of[i], rows, n, cell, 0, w.of[i].panels, backwards), ++i), ...);
        if (projection != nullptr) run_projection(projection, rows, n, cell);
    }

    /// Runs one thread's share of the units of a cell with a single stage.
    static void run_share(const Weights& w, const Row<S>* rows, Index n, const CellArgs<S>& cell, Share share,
                          bool backwards = false) {
        Index i = 0;
        ((run_stage<S, F, Stages>(w.of[i], rows, n, cell, share.begin(w.of[i].panels), share.end(w.of[i].panels),
                                  backwards),
          ++i),
         ...);
    }

    /// Bytes of `CellArgs::factors` for a step of so many rows.
    static Index factors_size(const Spec& spec, Index rows) {
        const Index second = spec.hidden > spec.output ? spec.hidden : spec.output;
        return Factors<S, F>::size(rows, spec.input) + Factors<S, F>::size(rows, second);
    }

    /// Computes the input's share of the sums of `n` rows; `factors` has room for theirs.
    static void project(const Weights& w, const S* const* x, Index n, void* factors, S* to, Share share) {
        Factors<S, F> read(factors, w.of[0].x_depth);
        for (Index i = 0; i < n; ++i) read.set(i, x[i]);
        Index i = 0;
        (project_stage<S, F, Stages>(w.of[i++], read, x, n, to, w.start_size, share), ...);
    }
};

/// Calls `f` with the format of products of a backward pass.
template <class S, class Call>
UNROLLED_INLINE auto with_format(Products products, Call f) {
    if constexpr (sizeof(S) == sizeof(float))
        if (products == Products::narrow) return f(NarrowProducts{});
    return f(Whole<S>{});
}

template <class S, class F, class Call>
UNROLLED_INLINE auto with_stages(const Spec& spec, Call f) {
    if (spec.kind == Kind::rnn) return f(CellStages<S, F, RnnGate>{});
    if (spec.kind == Kind::gru) {
        if (spec.reset_after) return f(CellStages<S, F, GruGates>{});
        return f(CellStages<S, F, GruResets, GruCandidate>{});
    }
    if (spec.coupled) return f(CellStages<S, F, LstmGates<true>>{});
    return f(CellStages<S, F, LstmGates<false>>{});
}

/// Calls `f` with the CellStages of a cell.
template <class S, class Call>
UNROLLED_INLINE auto with_cell(const Spec& spec, Call f) {
    if constexpr (sizeof(S) == sizeof(float))
        if (spec.products == Products::narrow_weights) return with_stages<S, NarrowWeights>(spec, f);
    return with_format<S>(spec.products,
                          [&](auto format) { return with_stages<S, decltype(format)>(spec, f); });
}

template <class S>
S* take(Scratch& scratch, Index count) {
    return static_cast<S*>(scratch.take(count * static_cast<Index>(sizeof(S))));
}

template <class S>
UNROLLED_INLINE CellArgs<S> cell_args(const Spec& spec, const S* peephole, const Regularisers<S>& masks) {
    CellArgs<S> cell;
    cell.spec = spec;
    cell.peephole = peephole;
    cell.rate_h = masks.rate_h;
    cell.rate_c = masks.rate_c;
    return cell;
}

}  // namespace unrolled::UNROLLED_ISA
