// The time loop: every step of one direction for one thread's share of the sequences. No thread waits for another.
#pragma once

#include "gru.hpp"
#include "runtime/helper.hpp"
#include "lstm.hpp"
#include "pack.hpp"
#include "rnn.hpp"

namespace unrolled::UNROLLED_ISA {

inline constexpr Index kFewRows = tuning::few_rows(kTallest);
inline constexpr Index kChunkRows = tuning::chunk_rows(kTallest);

/// One thread's share of the panels of a product.
struct Share {
    Index part = 0, parts = 1;
    Index begin(Index panels) const { return cut(panels, part); }
    Index end(Index panels) const { return cut(panels, part + 1); }

private:
    /// Pairs stay together where there are enough of them: a lone row takes two panels at once.
    Index cut(Index panels, Index at) const {
        if (panels < 2 * parts) return panels * at / parts;
        const Index end = (panels + 1) / 2 * at / parts * 2;
        return end < panels ? end : panels;
    }
};

/// Asks for the lines that will be written of some units: they were never in the cache, and a tile is time enough.
template <class S, class Stage>
UNROLLED_INLINE void expect_results(const Row<S>& row, Index panel, Index panels, const Spec& spec) {
    const Index unit = panel * Stage::blocks * kLanes<S>, count = Stage::blocks * kLanes<S> * panels;
    const Index some = spec.hidden - unit < count ? spec.hidden - unit : count;
    for (Index g = 0; row.gates != nullptr && g < spec.saved_gates(); ++g) expect_writes(row.gates + g * spec.hidden + unit, some);
    if (row.c != nullptr) expect_writes(row.c + unit, some);
    expect_writes(row.h + unit, some);
}

/// One stage of a step for `n` rows, its panels from `begin` to `end`, or from `end` to `begin`: steps alternate, so that
/// each begins with the weights that the one before left in the cache.
template <class S, class W, class Stage>
void run_stage(const StageWeights& w, const Row<S>* rows, Index n, const CellArgs<S>& cell, Index begin, Index end,
               bool backwards = false) {
    constexpr Index L = kLanes<S>;
    constexpr Index N = Stage::Sums::sums;
    alignas(64) S room[kTileRoom<S>];
    const Cut cut(n);
    const bool has_start = rows[0].start != nullptr;
    const Index most = n == 1 ? 2 : 1, turns = (end - begin + most - 1) / most;
    for (Index turn = 0; turn < turns; ++turn) {
        const Index panel = begin + (backwards ? turns - 1 - turn : turn) * most;
        const Index count = panel + most <= end ? most : 1;
        const char* weights = w.packed + panel * w.panel_size;
        TileArgs<S, W> args;
        args.start_stride = has_start ? N * UNROLLED_VECTOR_BYTES : w.panel_size;
        args.first.weights = reinterpret_cast<const W*>(weights + w.x_place);
        args.first.depth = has_start ? 0 : w.x_depth;
        args.first.panel_stride = args.second.panel_stride = w.panel_size;
        args.second.weights = reinterpret_cast<const W*>(weights + w.h_place);
        args.second.depth = w.h_depth;
        for (Index t = 0; t < cut.tiles; ++t) {
            const Row<S>* some = rows + cut.begin(t);
            const Index height = cut.height(t);
            for (Index r = 0; r < height; ++r) {
                args.start[r] = has_start ? some[r].start + w.start_offset + panel * N * L
                                          : reinterpret_cast<const S*>(weights);
                args.first.rows[r] = some[r].x;
                args.second.rows[r] = Stage::template second<S>(some[r]);
                if (some[r].gates != nullptr || has_start) expect_results<S, Stage>(some[r], panel, count, cell.spec);
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
template <class S, class W, class Stage>
void project_stage(const StageWeights& w, const S* const* x, Index n, S* to, Index ld, Share share) {
    constexpr Index L = kLanes<S>;
    constexpr Index N = Stage::Sums::sums;
    alignas(64) S room[kTileRoom<S>];
    const Cut cut(n);
    for (Index panel = share.begin(w.panels); panel < share.end(w.panels); ++panel) {
        const char* weights = w.packed + panel * w.panel_size;
        TileArgs<S, W> args;
        args.first.weights = reinterpret_cast<const W*>(weights + w.x_place);
        args.first.depth = w.x_depth;
        for (Index t = 0; t < cut.tiles; ++t) {
            const Index height = cut.height(t), begin = cut.begin(t);
            for (Index r = 0; r < height; ++r) {
                args.start[r] = reinterpret_cast<const S*>(weights);
                args.first.rows[r] = x[begin + r];
            }
            run_tile<S, typename Stage::Sums>(height, 1, args, room);
            for (Index r = 0; r < height; ++r)
                std::memcpy(to + (begin + r) * ld + w.start_offset + panel * N * L, room + r * N * L,
                            N * L * sizeof(S));
        }
    }
}

/// Keeps account of whether the units of a step are shared with another thread.
class Together {
public:
    explicit Together(Company company) : company_(company), is_shared_(company.is_helper) {}
    /// The number of the first step to be done here; negative for a helper that is no longer needed. A helper that was
    /// sent away comes back by asking again.
    Index begin() { return company_.is_helper ? company_.pair->join() : 0; }
    /// Before each step: whether this thread's units are others from here on.
    void arrange(Index step) {
        if (company_.pair == nullptr || company_.is_helper) return;
        if (is_shared_ && step >= alone_from_) is_shared_ = false;
        if (is_shared_ || !company_.pair->admit(step)) return;
        is_shared_ = true;
        alone_from_ = kNever;
    }
    bool is_shared() const { return is_shared_; }
    Share share() const { return is_shared_ ? Share{company_.is_helper ? 1 : 0, 2} : Share{}; }
    /// After a step: whether this thread has a next one.
    bool goes_on(Index step, bool long_step = false) {
        if (!is_shared_) return true;
        if (company_.is_helper) return company_.pair->go_on(step);
        if (!company_.pair->meet(step, long_step) && alone_from_ == kNever) alone_from_ = step + 2;
        return true;
    }
    void close() {
        if (company_.pair != nullptr) company_.pair->close();
    }

private:
    static constexpr Index kNever = Index{1} << 62;
    Company company_;
    bool is_shared_;
    Index alone_from_ = kNever;
};

/// A cell as the stages of its step, in order, with its weights kept as W.
template <class S, class W, class... Stages>
struct Pass {
    struct Weights {
        StageWeights of[sizeof...(Stages)];
        Index start_size = 0;  // a row of projected inputs, in scalars
        Index size = 0;        // all of it, packed, in bytes
        Weights(const Spec& spec, const void* packed) {
            Index i = 0;
            ((of[i] = stage_weights<S, W, Stages>(spec), of[i].packed = static_cast<const char*>(packed) + size,
              of[i].start_offset = start_size,
              size += of[i].panels * of[i].panel_size, start_size += of[i].panels * Stages::Sums::sums * kLanes<S>,
              ++i),
             ...);
        }
    };

    static Index size(const Spec& spec) { return Weights(spec, nullptr).size; }

    static void pack(const Spec& spec, const Parameters<S>& from, void* packed, Share share, Scratch& scratch) {
        const Weights w(spec, packed);
        Index i = 0;
        ((pack_stage<S, W, Stages>(spec, from, const_cast<char*>(w.of[i].packed), share.begin(w.of[i].panels),
                                   share.end(w.of[i].panels), scratch),
          ++i),
         ...);
    }

    static void run(const Weights& w, const S* projection, const Row<S>* rows, Index n, const CellArgs<S>& cell,
                    bool backwards = false) {
        Index i = 0;
        ((run_stage<S, W, Stages>(w.of[i], rows, n, cell, 0, w.of[i].panels, backwards), ++i), ...);
        if (projection != nullptr) run_projection(projection, rows, n, cell);
    }

    /// One thread's share of the units of a cell with a single stage.
    static void run_share(const Weights& w, const Row<S>* rows, Index n, const CellArgs<S>& cell, Share share,
                          bool backwards = false) {
        Index i = 0;
        ((run_stage<S, W, Stages>(w.of[i], rows, n, cell, share.begin(w.of[i].panels), share.end(w.of[i].panels),
                                  backwards),
          ++i),
         ...);
    }

    static void project(const Weights& w, const S* const* x, Index n, S* to, Share share) {
        Index i = 0;
        (project_stage<S, W, Stages>(w.of[i++], x, n, to, w.start_size, share), ...);
    }
};

template <class S, class W, class F>
UNROLLED_INLINE auto with_stages(const Spec& spec, F f) {
    if (spec.kind == Kind::rnn) return f(Pass<S, W, RnnGate>{});
    if (spec.kind == Kind::gru) {
        if (spec.reset_after) return f(Pass<S, W, GruGates>{});
        return f(Pass<S, W, GruResets, GruCandidate>{});
    }
    if (spec.coupled) return f(Pass<S, W, LstmGates<true>>{});
    return f(Pass<S, W, LstmGates<false>>{});
}

/// Calls `f` with the Pass of a cell.
template <class S, class F>
UNROLLED_INLINE auto with_cell(const Spec& spec, F f) {
    if constexpr (sizeof(S) == sizeof(float))
        if (spec.narrow) return with_stages<S, Narrow>(spec, f);
    return with_stages<S, S>(spec, f);
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
    /// `start_size` is 0 where nothing is projected beforehand; a helper uses the caller's starts.
    ForwardScratch(const Spec& spec, Index mine, bool is_masked, Index start_size, bool is_helper, Scratch& scratch) {
        rows = take<Row<S>>(scratch, mine);
        const bool two_stages = spec.is_projected() || (spec.kind == Kind::gru && !spec.reset_after);
        inner = two_stages ? take<S>(scratch, mine * spec.hidden) : nullptr;
        z = two_stages ? take<S>(scratch, mine * spec.hidden) : nullptr;
        for (auto& m : masked) m = is_masked ? take<S>(scratch, mine * spec.output) : nullptr;
        starts = start_size && !is_helper ? take<S>(scratch, kChunkRows * start_size) : nullptr;
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

/// The next steps whose input's share is computed at once, if there are few enough rows. Everyone who runs a time loop
/// cuts it alike, from the first step on.
struct Chunk {
    Index begin = 0, end = 0;
    bool is_projected = false;

    /// Moves on to the chunk that step `s` is in.
    void move_to(Index s, const Schedule& plan, Index part, Index parts) {
        while (s >= end) {
            const Index n = mine_below(plan.running[end], part, parts);
            // rows only get fewer, so a chunk that fits now fits throughout; the first is short, for until it is over a
            // helper has nothing to do
            const Index rows = begin == end ? kTallest : kChunkRows;
            begin = end;
            is_projected = n <= kFewRows && plan.steps - begin > 1;
            end = is_projected && n > 0 ? begin + rows / n : begin + 1;
            if (end > plan.steps) end = plan.steps;
        }
    }
};

/// All steps of the sequences part, part + parts, …; with company, the units of each step are shared. Not shared are
/// cells of two stages, and steps with a recurrent mask.
template <class S, class P>
void forward_pass(P, const Forward<S>& f, const ForwardDirection<S>& d, Index part, Index parts, Company company,
                  Scratch& scratch) {
    const Schedule& plan = f.schedule;
    const Index H = f.spec.hidden, width = f.spec.output;
    const Index mine = mine_below(plan.batch, part, parts);
    if (mine == 0) return;
    const typename P::Weights weights(f.spec, d.gates_packed);
    const CellArgs<S> cell = cell_args(f.spec, d.peephole, d.masks);
    const bool is_masked = d.masks.recurrent != nullptr;
    const bool projects = plan.steps > 1 && mine_below(plan.running[plan.steps - 1], part, parts) <= kFewRows;
    ForwardScratch<S> mem(f.spec, mine, is_masked, projects ? weights.start_size : 0, company.is_helper, scratch);
    Together together(company);
    if (!company.is_helper) {
        prepare_rows(f, d, part, parts);
        // two threads project into one place, each its own units
        if (company.pair != nullptr) company.pair->shared = mem.starts;
    }
    if (is_masked)
        for (Index i = 0; i < mine; ++i) {
            const Index b = plan.row[part + i * parts];
            for (Index k = 0; k < width; ++k)
                mem.masked[0][i * width + k] = d.h_0[b * width + k] * d.masks.recurrent[b * width + k];
        }
    const auto each_row = [&](Index from, Index until, auto visit) {
        for (Index q = from; q < until; ++q)
            for (Index i = 0, running = mine_below(plan.running[q], part, parts); i < running; ++i) {
                const Index j = part + i * parts;
                visit(plan.when(q, j, d.reverse) * f.x_time + plan.row[j] * f.x_batch);
            }
    };

    Chunk chunk;
    Index s = 0;
    const auto run_step = [&](Index n, Index start_row) {
        for (Index i = 0; i < n; ++i) {
            const Index j = part + i * parts, b = plan.row[j], t = plan.when(s, j, d.reverse), m = plan.offset[s] + j;
            Row<S>& row = mem.rows[i];
            row.x = f.x + t * f.x_time + b * f.x_batch;
            row.start = chunk.is_projected ? mem.starts + (start_row + i) * weights.start_size : nullptr;
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
        if (together.is_shared()) {
            // half of it lies in the other core's cache
            for (Index i = 0; i < n; ++i) expect_reads(mem.rows[i].h_in, width);
            P::run_share(weights, mem.rows, n, cell, together.share(), s % 2 != 0);
        } else {
            P::run(weights, d.projection_packed, mem.rows, n, cell, s % 2 != 0);
        }
    };
    while ((s = together.begin()) >= 0) {
        if (company.is_helper) mem.starts = static_cast<S*>(company.pair->shared);
        // where a helper comes in the middle of a chunk, the caller has projected all of it
        if (s > 0) chunk.move_to(s - 1, plan, part, parts);
        Index start_row = 0;
        each_row(chunk.begin, s < chunk.end ? s : chunk.begin, [&](Index) { ++start_row; });
        for (; s < plan.steps; ++s) {
            const Index n = mine_below(plan.running[s], part, parts);
            if (n == 0) break;
            together.arrange(s);
            const bool is_new = s >= chunk.end;
            if (is_new) {
                chunk.move_to(s, plan, part, parts);
                start_row = 0;
            }
            if (is_new && chunk.is_projected) {
                Index count = 0;
                each_row(chunk.begin, chunk.end, [&](Index at) { mem.x_rows[count++] = f.x + at; });
                P::project(weights, mem.x_rows, count, mem.starts, together.share());
            }
            run_step(n, start_row);
            start_row += n;
            if (!together.goes_on(s, is_new && chunk.is_projected)) break;
        }
        if (!company.is_helper) break;
    }
    if (company.is_helper) return;
    together.close();

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
