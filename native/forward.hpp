// The time loop: every step of one direction for one thread's share of the sequences. No thread waits for another.
#pragma once

#include "gru.hpp"
#include "lstm.hpp"
#include "pack.hpp"
#include "rnn.hpp"

namespace unrolled::UNROLLED_ISA {

/// With this few rows a tile is too flat to hide its loads, and the input's share of many steps is computed at once.
inline constexpr Index kFewRows = kTallest > 3 ? 4 : 2;
/// Steps × rows whose input share is computed at once: several tall tiles, and still in the cache when it is used.
inline constexpr Index kChunkRows = 8 * kTallest;

/// Asks for the lines that training will keep of some units: they were never in the cache, and a tile is time enough.
template <class S, class Stage>
UNROLLED_INLINE void expect_gates(const Row<S>& row, Index panel, Index panels, const Spec& spec) {
    const Index unit = panel * Stage::blocks * kLanes<S>, count = Stage::blocks * kLanes<S> * panels;
    const Index some = spec.hidden - unit < count ? spec.hidden - unit : count;
    for (Index g = 0; g < spec.saved_gates(); ++g) expect_writes(row.gates + g * spec.hidden + unit, some);
    if (row.c != nullptr) expect_writes(row.c + unit, some);
    expect_writes(row.h + unit, some);
}

/// One stage of a step for `n` rows, its panels from `begin` to `end`.
template <class S, class Stage>
void run_stage(const StageWeights<S>& w, const Row<S>* rows, Index n, const CellArgs<S>& cell, Index begin, Index end) {
    constexpr Index L = kLanes<S>;
    constexpr Index N = Stage::Sums::sums, G = Stage::Sums::weights;
    alignas(64) S room[kTileRoom<S>];
    const Cut cut(n);
    const bool has_start = rows[0].start != nullptr;
    for (Index panel = begin, count; panel < end; panel += count) {
        count = n == 1 && panel + 1 < end ? 2 : 1;
        const S* weights = w.packed + panel * w.panel_size;
        TileArgs<S> args;
        args.start_stride = has_start ? N * L : w.panel_size;
        args.first.weights = weights + N * L;
        args.first.depth = has_start ? 0 : w.x_depth;
        args.first.panel_stride = args.second.panel_stride = w.panel_size;
        args.second.weights = weights + N * L + w.x_depth * G * L;
        args.second.depth = w.h_depth;
        for (Index t = 0; t < cut.tiles; ++t) {
            const Row<S>* some = rows + cut.begin(t);
            const Index height = cut.height(t);
            for (Index r = 0; r < height; ++r) {
                args.start[r] = has_start ? some[r].start + w.start_offset + panel * N * L : weights;
                args.first.rows[r] = some[r].x;
                args.second.rows[r] = Stage::template second<S>(some[r]);
                if (some[r].gates != nullptr) expect_gates<S, Stage>(some[r], panel, count, cell.spec);
            }
            run_tile<S, typename Stage::Sums>(height, count, args, room);
            for (Index p = 0; p < count; ++p)
                for (Index r = 0; r < height; ++r)
                    Stage::template finish<S>(room + (p * height + r) * N * L, panel + p, some[r], cell);
        }
    }
}

/// The projection of LSTM, which has neither bias nor input.
template <class S>
void run_projection(const S* packed, const Row<S>* rows, Index n, const CellArgs<S>& cell) {
    constexpr Index L = kLanes<S>;
    alignas(64) S room[kTileRoom<S>];
    const Cut cut(n);
    const Index panel_size = cell.spec.hidden * 4 * L, panels = (cell.spec.output + 4 * L - 1) / (4 * L);
    for (Index panel = 0; panel < panels; ++panel) {
        TileArgs<S> args;
        args.first.weights = packed + panel * panel_size;
        args.first.depth = cell.spec.hidden;
        for (Index t = 0; t < cut.tiles; ++t) {
            const Row<S>* some = rows + cut.begin(t);
            const Index height = cut.height(t);
            for (Index r = 0; r < height; ++r) args.start[r] = nullptr, args.first.rows[r] = some[r].inner;
            run_tile<S, FourSums>(height, 1, args, room);
            for (Index r = 0; r < height; ++r) Projection::finish<S>(room + r * 4 * L, panel, some[r], cell);
        }
    }
}

/// x's share of the sums of one stage, bias included: to[row · ld + start_offset + panel · sums · lanes].
template <class S, class Stage>
void project_stage(const StageWeights<S>& w, const S* const* x, Index n, S* to, Index ld) {
    constexpr Index L = kLanes<S>;
    constexpr Index N = Stage::Sums::sums;
    alignas(64) S room[kTileRoom<S>];
    const Cut cut(n);
    for (Index panel = 0; panel < w.panels; ++panel) {
        const S* weights = w.packed + panel * w.panel_size;
        TileArgs<S> args;
        args.first.weights = weights + N * L;
        args.first.depth = w.x_depth;
        for (Index t = 0; t < cut.tiles; ++t) {
            const Index height = cut.height(t), begin = cut.begin(t);
            for (Index r = 0; r < height; ++r) args.start[r] = weights, args.first.rows[r] = x[begin + r];
            run_tile<S, typename Stage::Sums>(height, 1, args, room);
            for (Index r = 0; r < height; ++r)
                std::memcpy(to + (begin + r) * ld + w.start_offset + panel * N * L, room + r * N * L,
                            N * L * sizeof(S));
        }
    }
}

/// A cell as the stages of its step, in order.
template <class... Stages>
struct Pass {
    template <class S>
    struct Weights {
        StageWeights<S> of[sizeof...(Stages)];
        Index start_size = 0;  // a row of projected inputs
        Index size = 0;        // all of it, packed
        Weights(const Spec& spec, const S* packed) {
            Index i = 0;
            ((of[i] = stage_weights<S, Stages>(spec), of[i].packed = packed + size, of[i].start_offset = start_size,
              size += of[i].panels * of[i].panel_size, start_size += of[i].panels * Stages::Sums::sums * kLanes<S>,
              ++i),
             ...);
        }
    };

    template <class S>
    static Index size(const Spec& spec) {
        return Weights<S>(spec, nullptr).size;
    }

    template <class S>
    static void pack(const Spec& spec, const Parameters<S>& from, S* packed) {
        ((pack_stage<S, Stages>(spec, from, packed),
          packed += stage_weights<S, Stages>(spec).panels * stage_weights<S, Stages>(spec).panel_size),
         ...);
    }

    template <class S>
    static void run(const Weights<S>& w, const S* projection, const Row<S>* rows, Index n, const CellArgs<S>& cell) {
        Index i = 0;
        ((run_stage<S, Stages>(w.of[i], rows, n, cell, 0, w.of[i].panels), ++i), ...);
        if (projection != nullptr) run_projection(projection, rows, n, cell);
    }

    /// One thread's share of the units of a cell with a single stage; pairs of panels stay together.
    template <class S>
    static void run_share(const Weights<S>& w, const Row<S>* rows, Index n, const CellArgs<S>& cell, Index part,
                          Index parts) {
        static_assert(sizeof...(Stages) >= 1);
        const Index pairs = (w.of[0].panels + 1) / 2;
        const Index begin = pairs * part / parts * 2, end = pairs * (part + 1) / parts * 2;
        Index i = 0;
        ((run_stage<S, Stages>(w.of[i], rows, n, cell, begin, end < w.of[i].panels ? end : w.of[i].panels), ++i), ...);
    }

    template <class S>
    static void project(const Weights<S>& w, const S* const* x, Index n, S* to) {
        Index i = 0;
        (project_stage<S, Stages>(w.of[i++], x, n, to, w.start_size), ...);
    }
};

/// Calls `f` with the Pass of a cell.
template <class F>
UNROLLED_INLINE auto with_cell(const Spec& spec, F f) {
    if (spec.kind == Kind::rnn) return f(Pass<RnnGate>{});
    if (spec.kind == Kind::gru) {
        if (spec.reset_after) return f(Pass<GruGates>{});
        return f(Pass<GruResets, GruCandidate>{});
    }
    if (spec.coupled) return f(Pass<LstmGates<true>>{});
    return f(Pass<LstmGates<false>>{});
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

/// How many of the places part, part + parts, … lie below `running`.
UNROLLED_INLINE Index mine_below(Index running, Index part, Index parts) {
    return running > part ? (running - part + parts - 1) / parts : 0;
}

/// The memory a pass needs beside its results.
template <class S>
struct ForwardScratch {
    Row<S>* rows;
    S *inner, *z, *masked[2];
    S* starts;
    const S** x_rows;
    ForwardScratch(const Spec& spec, Index mine, bool is_masked, Index start_size, Scratch& scratch) {
        rows = take<Row<S>>(scratch, mine);
        const bool two_stages = spec.is_projected() || (spec.kind == Kind::gru && !spec.reset_after);
        inner = two_stages ? take<S>(scratch, mine * spec.hidden) : nullptr;
        z = two_stages ? take<S>(scratch, mine * spec.hidden) : nullptr;
        for (auto& m : masked) m = is_masked ? take<S>(scratch, mine * spec.output) : nullptr;
        starts = start_size ? take<S>(scratch, kChunkRows * start_size) : nullptr;
        x_rows = start_size ? take<const S*>(scratch, kChunkRows) : nullptr;
    }
};

/// States before the first step: c_n begins as c_0 and is updated in place where no cells are saved; zeros beyond the
/// end of each sequence.
template <class S>
void prepare_rows(const Forward<S>& f, const ForwardDirection<S>& d, Index part, Index parts) {
    const Schedule& plan = f.schedule;
    const Index H = f.spec.hidden, P = f.spec.output;
    for (Index j = part; j < plan.batch; j += parts) {
        const Index b = plan.row[j];
        if (d.c_n != nullptr) std::memcpy(d.c_n + b * H, d.c_0 + b * H, H * sizeof(S));
        for (Index t = plan.length[j]; t < plan.time; ++t)
            std::memset(f.out + t * f.out_time + b * f.out_batch + d.column, 0, P * sizeof(S));
    }
}

template <class S, class P>
void forward_pass(P, const Forward<S>& f, const ForwardDirection<S>& d, Index part, Index parts, Scratch& scratch) {
    const Schedule& plan = f.schedule;
    const Index H = f.spec.hidden, width = f.spec.output;
    const Index mine = mine_below(plan.batch, part, parts);
    if (mine == 0) return;
    const typename P::template Weights<S> weights(f.spec, d.gates_packed);
    const CellArgs<S> cell = cell_args(f.spec, d.peephole, d.masks);
    const bool is_masked = d.masks.recurrent != nullptr;
    ForwardScratch<S> mem(f.spec, mine, is_masked, plan.steps > 1 ? weights.start_size : 0, scratch);
    prepare_rows(f, d, part, parts);
    if (is_masked)
        for (Index i = 0; i < mine; ++i) {
            const Index b = plan.row[part + i * parts];
            for (Index k = 0; k < width; ++k)
                mem.masked[0][i * width + k] = d.h_0[b * width + k] * d.masks.recurrent[b * width + k];
        }

    Index chunk_end = 0;
    bool has_starts = false;
    Index start_row = 0;
    for (Index s = 0; s < plan.steps; ++s) {
        const Index n = mine_below(plan.running[s], part, parts);
        if (n == 0) break;
        if (s >= chunk_end) {
            // rows only get fewer, so a chunk that fits now fits throughout
            has_starts = n <= kFewRows && plan.steps - s > 1;
            chunk_end = s + kChunkRows / (n < kChunkRows ? n : kChunkRows);
            chunk_end = has_starts ? (chunk_end < plan.steps ? chunk_end : plan.steps) : s + 1;
            if (has_starts) {
                Index count = 0;
                for (Index q = s; q < chunk_end; ++q)
                    for (Index i = 0, running = mine_below(plan.running[q], part, parts); i < running; ++i) {
                        const Index j = part + i * parts;
                        mem.x_rows[count++] = f.x + plan.when(q, j, d.reverse) * f.x_time + plan.row[j] * f.x_batch;
                    }
                P::template project<S>(weights, mem.x_rows, count, mem.starts);
                start_row = 0;
            }
        }
        for (Index i = 0; i < n; ++i) {
            const Index j = part + i * parts, b = plan.row[j], t = plan.when(s, j, d.reverse), m = plan.offset[s] + j;
            Row<S>& row = mem.rows[i];
            row.x = f.x + t * f.x_time + b * f.x_batch;
            row.start = has_starts ? mem.starts + start_row++ * weights.start_size : nullptr;
            row.h = f.out + t * f.out_time + b * f.out_batch + d.column;
            row.h_prev = s == 0 ? d.h_0 + b * width
                                : f.out + plan.when(s - 1, j, d.reverse) * f.out_time + b * f.out_batch + d.column;
            row.h_in = is_masked ? mem.masked[s % 2] + i * width : row.h_prev;
            row.h_masked = is_masked ? mem.masked[(s + 1) % 2] + i * width : nullptr;
            row.mask = is_masked ? d.masks.recurrent + b * width : nullptr;
            row.inner = mem.inner == nullptr ? nullptr : mem.inner + i * H;
            row.z = mem.z == nullptr ? nullptr : mem.z + i * H;
            row.gates = d.saved_gates == nullptr ? nullptr : d.saved_gates + m * f.spec.saved_gates() * H;
            row.keep_h = d.masks.keep_h == nullptr ? nullptr : d.masks.keep_h + (t * plan.batch + b) * width;
            row.keep_c = d.masks.keep_c == nullptr ? nullptr : d.masks.keep_c + (t * plan.batch + b) * H;
            if (d.saved_cells != nullptr) {
                row.c = d.saved_cells + m * H;
                row.c_prev = s == 0 ? d.c_0 + b * H : d.saved_cells + (plan.offset[s - 1] + j) * H;
            } else {
                row.c = d.c_n == nullptr ? nullptr : d.c_n + b * H;
                row.c_prev = row.c;
            }
        }
        P::template run<S>(weights, d.projection_packed, mem.rows, n, cell);
    }

    for (Index j = part; j < plan.batch; j += parts) {
        const Index b = plan.row[j], length = plan.length[j];
        const S* h = length == 0
                         ? d.h_0 + b * width
                         : f.out + plan.when(length - 1, j, d.reverse) * f.out_time + b * f.out_batch + d.column;
        std::memcpy(d.h_n + b * width, h, width * sizeof(S));
        if (d.saved_cells != nullptr && length > 0)
            std::memcpy(d.c_n + b * H, d.saved_cells + (plan.offset[length - 1] + j) * H, H * sizeof(S));
    }
}

}  // namespace unrolled::UNROLLED_ISA
