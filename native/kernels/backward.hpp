// Backpropagation through time: from the last step to the first, for one thread's share of the sequences.
//
// A step's tile multiplies the gate gradients of the step after it by W_hh, and turns the sums, which are dh, into this
// step's own gate gradients before they leave the cache. The weights' gradients come later, all steps at once
// (products.hpp).
#pragma once

#include "bptt_cells.hpp"
#include "forward.hpp"

namespace unrolled::UNROLLED_ISA {

/// sums = rows · matrix for packed columns; finish(sums, row, unit, width) for each block of units. Rows from `product`
/// to `n` have no product: their sums are zero. A thread may do its share of the panels alone, or the last panel first.
/// soon(row, unit, count) is called ahead of a tile, to prefetch what its finish will touch.
template <class S, class RowOf, class Finish, class Soon>
UNROLLED_INLINE void column_product(const S* packed, Index depth, Index columns, Index product, Index n, RowOf row_of,
                                    Finish finish, Soon soon, Share share = {}, bool backwards = false) {
    constexpr Index L = kLanes<S>;
    alignas(64) S room[kTileRoom<S>];
    const Cut cut(product);
    const Index panels = (columns + 4 * L - 1) / (4 * L);
    const Index begin_panel = share.begin(panels), end_panel = share.end(panels);
    const Index most = product == 1 ? 2 : 1, turns = (end_panel - begin_panel + most - 1) / most;
    for (Index turn = 0; turn < turns; ++turn) {
        const Index panel = begin_panel + (backwards ? turns - 1 - turn : turn) * most;
        const Index count = panel + most <= end_panel ? most : 1;
        TileArgs<S> args;
        args.first.weights = packed + panel * depth * 4 * L;
        args.first.panel_stride = depth * 4 * UNROLLED_VECTOR_BYTES;
        args.first.depth = depth;
        for (Index t = 0; t < cut.tiles; ++t) {
            const Index height = cut.height(t), begin = cut.begin(t);
            const Index first = panel * 4 * L, some = columns - first < 4 * L * count ? columns - first : 4 * L * count;
            for (Index r = 0; r < height; ++r) {
                args.start[r] = nullptr;
                args.first.rows[r] = row_of(begin + r);
                soon(begin + r, first, some);
            }
            run_tile<S, FourSums>(height, count, args, room);
            for (Index p = 0; p < count; ++p)
                for (Index r = 0; r < height; ++r)
                    for (Index v = 0; v < 4; ++v) {
                        const Index unit = ((panel + p) * 4 + v) * L, width = width_at<S>(unit, columns);
                        const Vec<S> sums = load(room + ((p * height + r) * 4 + v) * L);
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

template <class S, class RowOf, class Finish>
UNROLLED_INLINE void column_product(const S* packed, Index depth, Index columns, Index product, Index n, RowOf row_of,
                                    Finish finish) {
    column_product(packed, depth, columns, product, n, row_of, finish, [](Index, Index, Index) {});
}

/// One step back for rows 0 to n, of which the first `going_on` have a following step.
template <class S>
void bptt_step(const BackwardDirection<S>& d, const BackRow<S>* rows, Index going_on, Index n,
               const CellArgs<S>& cell, Share share, bool backwards) {
    const Spec& spec = cell.spec;
    const Index H = spec.hidden, P = spec.output;
    const bool resets_before = spec.kind == Kind::gru && !spec.reset_after;
    const Index depth = resets_before ? 2 * H : spec.gates() * H;
    const auto next = [&](Index i) { return rows[i].next; };
    // every step's gates, cells and gradients come from beyond the cache, and the tile is time enough to fetch them
    const auto soon = [&](Index i, Index unit, Index count) {
        const BackRow<S>& row = rows[i];
        expect_reads(row.dout + unit, count);
        for (Index g = 0; g < spec.saved_gates(); ++g) expect_reads(row.gates + g * H + unit, count);
        for (Index g = 0; g < spec.dgates(); ++g) expect_writes(row.dgates + g * H + unit, count);
        if (spec.has_cell_state()) {
            expect_reads(row.c_prev + unit, count);
        } else {
            expect_reads((spec.kind == Kind::gru ? row.h_prev : row.h) + unit, count);
        }
    };
    const auto each = [&](auto back) {
        column_product<S>(
            d.hidden_packed, depth, P, going_on, n, next,
            [&](Vec<S> sums, Index i, Index unit, Index width) UNROLLED_INLINE_LAMBDA {
                decltype(back)::template step<S>(arriving(sums, rows[i], cell, unit, width), rows[i], cell, unit,
                                                 width);
            },
            soon, share, backwards);
    };
    if (spec.is_projected()) {
        column_product<S>(d.hidden_packed, depth, P, going_on, n, next,
                          [&](Vec<S> sums, Index i, Index unit, Index width) UNROLLED_INLINE_LAMBDA {
                              const Arrived<S> in = arriving(sums, rows[i], cell, unit, width);
                              store(rows[i].dh + unit, in.dh, width);
                              if (rows[i].carry != nullptr) store(rows[i].carry + unit, in.kept, width);
                          });
        const auto through = [&](auto back) {
            column_product<S>(
                d.projection_packed, P, H, n, n, [&](Index i) { return static_cast<const S*>(rows[i].dh); },
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
    column_product<S>(
        d.candidate_packed, H, H, n, n, [&](Index i) { return static_cast<const S*>(rows[i].dgates); },
        [&](Vec<S> sums, Index i, Index unit, Index width)
            UNROLLED_INLINE_LAMBDA { GruResetBack::step<S>(sums, rows[i], cell, unit, width); });
}

/// All steps back of the sequences part, part + parts, …; with company, the units of each step are shared. Not shared
/// are the projection, and GRU's reset before the product.
template <class S>
void bptt_pass(const Backward<S>& b, const BackwardDirection<S>& d, Index part, Index parts, Company company,
               Scratch& scratch) {
    const Schedule& plan = b.schedule;
    const Spec& spec = b.spec;
    const Index H = spec.hidden, P = spec.output, row_size = spec.dgates() * H;
    const Index mine = mine_below(plan.batch, part, parts);
    if (mine == 0) return;
    BackRow<S>* rows = take<BackRow<S>>(scratch, mine);
    const CellArgs<S> cell = cell_args(spec, d.parameters.weight_peephole, d.masks);
    // what reaches W_hh begins at n ⊙ r's neighbours r, z in GRU's order
    const Index hidden_part = spec.kind == Kind::gru ? H : 0;
    const bool goes_past = spec.kind == Kind::gru || d.masks.any_zoneout();
    Together together(company);
    for (Index j = part; j < plan.batch && !company.is_helper; j += parts) {
        const Index row = plan.row[j];
        std::memcpy(d.dh_0 + row * P, d.dh_n + row * P, P * sizeof(S));
        if (d.dc_0 != nullptr) std::memcpy(d.dc_0 + row * H, d.dc_n + row * H, H * sizeof(S));
    }
    const auto h_at = [&](Index s, Index j) {
        return b.out + plan.when(s, j, d.reverse) * b.out_time + plan.row[j] * b.out_batch + d.column;
    };
    const auto step_back = [&](Index s) {
        const Index n = mine_below(plan.running[s], part, parts),
                    going_on = mine_below(plan.running[s + 1], part, parts);
        if (n == 0) return;
        for (Index i = 0; i < n; ++i) {
            const Index j = part + i * parts, row = plan.row[j], t = plan.when(s, j, d.reverse), m = plan.offset[s] + j;
            BackRow<S>& back = rows[i];
            back.next = i < going_on ? d.dgates + (plan.offset[s + 1] + j) * row_size + hidden_part : nullptr;
            back.gates = d.saved_gates + m * spec.saved_gates() * H;
            back.c_prev = s == 0 ? d.c_0 + row * H : d.saved_cells + (plan.offset[s - 1] + j) * H;
            back.h = h_at(s, j);
            back.h_prev = s == 0 ? d.h_0 + row * P : h_at(s - 1, j);
            back.dout = b.dout + t * b.dout_time + row * b.dout_batch + d.column;
            back.extra = goes_past || i >= going_on ? d.dh_0 + row * P : nullptr;
            back.carry = goes_past ? d.dh_0 + row * P : nullptr;
            back.dc = d.dc_0 == nullptr ? nullptr : d.dc_0 + row * H;
            back.dgates = d.dgates + m * row_size;
            back.dh = d.dh == nullptr ? nullptr : d.dh + m * P;
            back.mask = d.masks.recurrent == nullptr ? nullptr : d.masks.recurrent + row * P;
            back.keep_h = d.masks.keep_h == nullptr ? nullptr : d.masks.keep_h + (t * plan.batch + row) * P;
            back.keep_c = d.masks.keep_c == nullptr ? nullptr : d.masks.keep_c + (t * plan.batch + row) * H;
        }
        // half of them lie in the other core's cache
        for (Index i = 0; together.is_shared() && i < going_on; ++i)
            expect_reads(rows[i].next, row_size - hidden_part);
        bptt_step(d, rows, going_on, n, cell, together.share(), s % 2 != 0);
    };
    for (Index taken; (taken = together.begin()) >= 0;) {
        for (; taken < plan.steps; ++taken) {
            together.arrange(taken);
            step_back(plan.steps - 1 - taken);
            if (!together.goes_on(taken)) break;
        }
        if (!company.is_helper) break;
    }
    if (company.is_helper) return;
    together.close();
    if (plan.steps == 0) return;
    const Index n = mine_below(plan.running[0], part, parts);
    const bool resets_before = spec.kind == Kind::gru && !spec.reset_after;
    column_product<S>(
        d.hidden_packed, resets_before ? 2 * H : spec.gates() * H, P, n, n,
        [&](Index i) { return static_cast<const S*>(d.dgates + (part + i * parts) * row_size + hidden_part); },
        [&](Vec<S> sums, Index i, Index unit, Index width) UNROLLED_INLINE_LAMBDA {
            const Index row = plan.row[part + i * parts];
            if (d.masks.recurrent != nullptr) sums = sums * load(d.masks.recurrent + row * P + unit, width);
            S* dh_0 = d.dh_0 + row * P + unit;
            store(dh_0, goes_past ? sums + load(dh_0, width) : sums, width);
        });
}

}  // namespace unrolled::UNROLLED_ISA
