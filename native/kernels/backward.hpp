// Backpropagation through time: from the last step to the first, for one thread's share of the sequences.
//
// A step's tile multiplies the gate gradients of the next step by W_hh and turns the sums, which are dh, into this
// step's own gate gradients while they are in the cache. The gradients of the weights come later, for all steps at once
// (products.hpp).
#pragma once

#include "bptt_cells.hpp"
#include "forward.hpp"

namespace unrolled::UNROLLED_ISA {

/// sums = rows · matrix for packed columns; calls finish(sums, row, unit, width) for each block of units. Rows from
/// `product` to `n` have no product: their sums are zero. Takes one thread's share of the panels, the last one first if
/// `backwards`. Calls prefetch(row, unit, count) ahead of a tile, for what `finish` will read and write. `memory` has
/// room for the factors of the rows.
template <class S, class F, class RowOf, class Finish, class Prefetch>
UNROLLED_INLINE void column_product(const void* packed, void* memory, Index depth, Index columns, Index product,
                                    Index n, RowOf row_of, Finish finish, Prefetch prefetch, Share share = {},
                                    bool backwards = false) {
    constexpr Index L = kLanes<S>;
    Factors<S, F> factors(memory, depth);
    for (Index i = 0; i < product; ++i) factors.set(i, row_of(i));
    alignas(64) S tile_sums[kTileSums<S>];
    const Tiling tiling(product);
    const Index panels = (columns + 4 * L - 1) / (4 * L);
    const Index begin_panel = share.begin(panels), end_panel = share.end(panels);
    const Index most = product == 1 ? 2 : 1, turns = (end_panel - begin_panel + most - 1) / most;
    for (Index turn = 0; turn < turns; ++turn) {
        const Index panel = begin_panel + (backwards ? turns - 1 - turn : turn) * most;
        const Index count = panel + most <= end_panel ? most : 1;
        TileArgs<S, F> args;
        args.first.panel_stride = column_panel_size<F>(depth);
        args.first.weights =
            ahead(static_cast<const typename F::Weight*>(packed), panel * args.first.panel_stride);
        args.first.depth = depth;
        for (Index t = 0; t < tiling.count; ++t) {
            const Index height = tiling.height(t), begin = tiling.begin(t);
            const Index first = panel * 4 * L, some = columns - first < 4 * L * count ? columns - first : 4 * L * count;
            for (Index r = 0; r < height; ++r) {
                args.start[r] = nullptr;
                args.first.rows[r] = factors.at(begin + r, row_of(begin + r));
                prefetch(begin + r, first, some);
            }
            run_tile<S, FourSums>(height, count, args, tile_sums);
            for (Index p = 0; p < count; ++p)
                for (Index r = 0; r < height; ++r)
                    for (Index v = 0; v < 4; ++v) {
                        const Index unit = ((panel + p) * 4 + v) * L, width = width_at<S>(unit, columns);
                        const Vec<S> sums = load(tile_sums + ((p * height + r) * 4 + v) * L);
                        at_width<S>(width,
                                    [&](Index lanes) UNROLLED_INLINE_LAMBDA { finish(sums, begin + r, unit, lanes); });
                    }
        }
    }
    for (Index i = product; i < n; ++i)
        for (Index unit = begin_panel * 4 * L; unit < columns && unit < end_panel * 4 * L; unit += L)
            at_width<S>(width_at<S>(unit, columns),
                        [&](Index lanes) UNROLLED_INLINE_LAMBDA { finish(Vec<S>{}, i, unit, lanes); });
}

template <class S, class F, class RowOf, class Finish>
UNROLLED_INLINE void column_product(const void* packed, void* memory, Index depth, Index columns, Index product,
                                    Index n, RowOf row_of, Finish finish) {
    column_product<S, F>(packed, memory, depth, columns, product, n, row_of, finish, [](Index, Index, Index) {});
}

/// Takes one step back for rows 0 to n, of which the first `going_on` have a next step.
template <class S, class F>
void bptt_step(const BackwardDirection<S>& d, const BackRow<S>* rows, Index going_on, Index n, const CellArgs<S>& cell,
               Share share, bool backwards) {
    const Spec& spec = cell.spec;
    const Index H = spec.hidden, P = spec.output;
    const bool resets_before = spec.kind == Kind::gru && !spec.reset_after;
    const Index depth = resets_before ? 2 * H : spec.gates() * H;
    const auto next = [&](Index i) { return rows[i].next; };
    // the gates, cells and gradients of a step are not in the cache, and a tile takes long enough to fetch them
    const auto prefetch = [&](Index i, Index unit, Index count) {
        const BackRow<S>& row = rows[i];
        prefetch_reads(row.dout + unit, count);
        for (Index g = 0; g < spec.saved_gates(); ++g) prefetch_reads(row.gates + g * H + unit, count);
        for (Index g = 0; g < spec.dgates(); ++g) prefetch_writes(row.dgates + g * H + unit, count);
        if (spec.has_cell_state()) {
            prefetch_reads(row.c_prev + unit, count);
        } else {
            prefetch_reads((spec.kind == Kind::gru ? row.h_prev : row.h) + unit, count);
        }
    };
    const auto each = [&](auto back) {
        column_product<S, F>(
            d.hidden_packed, cell.factors, depth, P, going_on, n, next,
            [&](Vec<S> sums, Index i, Index unit, Index width) UNROLLED_INLINE_LAMBDA {
                decltype(back)::template step<S>(arriving(sums, rows[i], cell, unit, width), rows[i], cell, unit,
                                                 width);
            },
            prefetch, share, backwards);
    };
    if (spec.is_projected()) {
        column_product<S, F>(d.hidden_packed, cell.factors, depth, P, going_on, n, next,
                          [&](Vec<S> sums, Index i, Index unit, Index width) UNROLLED_INLINE_LAMBDA {
                              const Arrived<S> in = arriving(sums, rows[i], cell, unit, width);
                              store(rows[i].dh + unit, in.dh, width);
                              if (rows[i].carry != nullptr) store(rows[i].carry + unit, in.kept, width);
                          });
        const auto through = [&](auto back) {
            column_product<S, Whole<S>>(
                d.projection_packed, nullptr, P, H, n, n, [&](Index i) { return static_cast<const S*>(rows[i].dh); },
                [&](Vec<S> sums, Index i, Index unit, Index width) UNROLLED_INLINE_LAMBDA {
                    BackRow<S> row = rows[i];
                    row.carry = nullptr;
                    decltype(back)::template step<S>({sums, Vec<S>{}}, row, cell, unit, width);
                });
        };
        return spec.coupled ? through(LstmBack<true>{}) : through(LstmBack<false>{});
    }
    if (spec.kind == Kind::rnn) return each(RnnBack{});
    if (spec.kind == Kind::lstm) return spec.coupled ? each(LstmBack<true>{}) : each(LstmBack<false>{});
    if (!resets_before) return each(GruBack{});
    each(GruCandidateBack{});
    column_product<S, F>(
        d.candidate_packed, cell.factors, H, H, n, n, [&](Index i) { return static_cast<const S*>(rows[i].dgates); },
        [&](Vec<S> sums, Index i, Index unit, Index width)
            UNROLLED_INLINE_LAMBDA { GruResetBack::step<S>(sums, rows[i], cell, unit, width); });
}

/// All steps back of the sequences part, part + parts, …; with a second thread the units of each step are shared. Cells
/// with a projection, and GRU's reset before the product, are not shared.
template <class S, class F>
class BackwardPass {
public:
    BackwardPass(const Backward<S>& b, const BackwardDirection<S>& d, Index part, Index parts, Pairing pairing,
                 Scratch& scratch)
        : b_(b),
          d_(d),
          plan_(b.schedule),
          part_(part),
          parts_(parts),
          pairing_(pairing),
          goes_past_(b.spec.kind == Kind::gru || d.masks.any_zoneout()),
          row_size_(b.spec.dgates() * b.spec.hidden),
          hidden_part_(b.spec.kind == Kind::gru ? b.spec.hidden : 0),
          cell_(cell_args(b.spec, d.parameters.weight_peephole, d.masks)),
          rows_(take<BackRow<S>>(scratch, count_own(plan_.count, part, parts))) {
        const Index depth = b.spec.gates() * b.spec.hidden;
        cell_.factors = scratch.take(Factors<S, F>::size(count_own(plan_.count, part, parts), depth));
    }

    void run() {
        if (!pairing_.is_helper) begin_with_final_states();
        SharedSteps shared(pairing_);
        for (Index taken; (taken = shared.begin()) >= 0;) {
            for (; taken < plan_.steps; ++taken) {
                shared.arrange(taken);
                step_back(plan_.steps - 1 - taken, shared);
                if (!shared.goes_on(taken)) break;
            }
            if (!pairing_.is_helper) break;
        }
        if (pairing_.is_helper) return;
        shared.close();
        if (plan_.steps > 0) finish_initial_states();
    }

private:
    /// The number of this part's sequences that run at step `s`.
    Index running(Index s) const { return count_own(plan_.running[s], part_, parts_); }
    /// The output of step `s` of the sequence at position `j`.
    const S* output(Index s, Index j) const {
        return b_.out + plan_.when(s, j, d_.reverse) * b_.out_time + plan_.row[j] * b_.out_batch + d_.column;
    }

    /// dh_0 and dc_0 carry the gradient from step to step; they begin as that of the final states.
    void begin_with_final_states() const {
        const Index H = b_.spec.hidden, P = b_.spec.output;
        for (Index j = part_; j < plan_.count; j += parts_) {
            const Index n = plan_.sequence[j];
            std::memcpy(d_.dh_0 + n * P, d_.dh_n + n * P, P * sizeof(S));
            if (d_.dc_0 != nullptr) std::memcpy(d_.dc_0 + n * H, d_.dc_n + n * H, H * sizeof(S));
        }
    }

    void step_back(Index s, const SharedSteps& shared) const {
        const Index n = running(s), going_on = running(s + 1);
        if (n == 0) return;
        for (Index i = 0; i < n; ++i) place(rows_[i], s, i, i < going_on);
        // half of them are in the other core's cache
        for (Index i = 0; shared.is_shared() && i < going_on; ++i)
            prefetch_reads(rows_[i].next, row_size_ - hidden_part_);
        bptt_step<S, F>(d_, rows_, going_on, n, cell_, shared.share(), s % 2 != 0);
    }

    /// Sets the addresses of all that step `s` reads and writes of sequence `i` of this part.
    UNROLLED_INLINE void place(BackRow<S>& back, Index s, Index i, bool has_next) const {
        const Spec& spec = b_.spec;
        const Index H = spec.hidden, P = spec.output;
        const Index j = part_ + i * parts_, sequence = plan_.sequence[j], row = plan_.row[j];
        const Index t = plan_.when(s, j, d_.reverse), m = plan_.offset[s] + j;
        back.next = has_next ? d_.dgates + (plan_.offset[s + 1] + j) * row_size_ + hidden_part_ : nullptr;
        back.gates = d_.saved_gates + m * spec.saved_gates() * H;
        back.c_prev = s == 0 ? d_.c_0 + sequence * H : d_.saved_cells + (plan_.offset[s - 1] + j) * H;
        back.h = output(s, j);
        back.h_prev = s == 0 ? d_.h_0 + sequence * P : output(s - 1, j);
        back.dout = b_.dout + t * b_.dout_time + row * b_.dout_batch + d_.column;
        back.extra = goes_past_ || !has_next ? d_.dh_0 + sequence * P : nullptr;
        back.carry = goes_past_ ? d_.dh_0 + sequence * P : nullptr;
        back.dc = d_.dc_0 == nullptr ? nullptr : d_.dc_0 + sequence * H;
        back.dgates = d_.dgates + m * row_size_;
        back.dh = d_.dh == nullptr ? nullptr : d_.dh + m * P;
        back.mask = d_.masks.recurrent == nullptr ? nullptr : d_.masks.recurrent + row * P;
        back.keep_h = d_.masks.keep_h == nullptr ? nullptr : d_.masks.keep_h + (t * plan_.batch + row) * P;
        back.keep_c = d_.masks.keep_c == nullptr ? nullptr : d_.masks.keep_c + (t * plan_.batch + row) * H;
    }

    /// dh_0 = W_hhᵀ · the gate gradients of the first step, plus the part that went around its cell.
    void finish_initial_states() const {
        const Index H = b_.spec.hidden, P = b_.spec.output, n = running(0);
        const bool resets_before = b_.spec.kind == Kind::gru && !b_.spec.reset_after;
        column_product<S, F>(
            d_.hidden_packed, cell_.factors, resets_before ? 2 * H : b_.spec.gates() * H, P, n, n,
            [&](Index i) { return static_cast<const S*>(d_.dgates + (part_ + i * parts_) * row_size_ + hidden_part_); },
            [&](Vec<S> sums, Index i, Index unit, Index width) UNROLLED_INLINE_LAMBDA {
                const Index j = part_ + i * parts_;
                if (d_.masks.recurrent != nullptr)
                    sums = sums * load(d_.masks.recurrent + plan_.row[j] * P + unit, width);
                S* dh_0 = d_.dh_0 + plan_.sequence[j] * P + unit;
                store(dh_0, goes_past_ ? sums + load(dh_0, width) : sums, width);
            });
    }

    const Backward<S>& b_;
    const BackwardDirection<S>& d_;
    const Schedule& plan_;
    const Index part_, parts_;
    const Pairing pairing_;
    /// Whether part of dh goes around the cell to h_{t−1}: by z, or where zoneout keeps the old value.
    const bool goes_past_;
    /// Scalars of a row of dgates, and the first of those that W_hh sees: after GRU's n.
    const Index row_size_, hidden_part_;
    CellArgs<S> cell_;
    BackRow<S>* const rows_;
};

template <class S>
void bptt_pass(const Backward<S>& b, const BackwardDirection<S>& d, Index part, Index parts, Pairing pairing,
               Scratch& scratch) {
    if (count_own(b.schedule.count, part, parts) == 0) return;
    with_format<S>(b.spec.products, [&](auto format) {
        BackwardPass<S, decltype(format)>(b, d, part, parts, pairing, scratch).run();
    });
}

}  // namespace unrolled::UNROLLED_ISA
