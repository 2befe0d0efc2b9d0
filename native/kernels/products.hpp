// The gradients that need no recurrence: of x, of the weights and of the biases. Each is one product over all steps.
#pragma once

#include "backward.hpp"

namespace unrolled::UNROLLED_ISA {

inline constexpr Index kChunkSteps = tuning::kChunkSteps;

/// Maps increasing m to their s and j.
struct Walker {
    const Schedule& plan;
    Index s = 0;
    Index j_of(Index m) {
        while (m >= plan.offset[s + 1]) ++s;
        return m - plan.offset[s];
    }
};

/// dx(t, b) = Σ over directions of dgates · W_ih; zero where a sequence is over.
template <class S, class F>
void input_gradient(const Backward<S>& b, Index part, Index parts, Scratch& scratch) {
    constexpr Index L = kLanes<S>;
    const Schedule& plan = b.schedule;
    const Index H = b.spec.hidden, I = b.spec.input, depth = b.spec.gates() * H, row_size = b.spec.dgates() * H;
    const auto dx_at = [&](Index t, Index row) { return b.dx + t * b.dx_time + row * b.dx_batch; };
    for (Index j = part; j < plan.count; j += parts)
        for (Index t = plan.end(j); t < plan.until[j]; ++t) std::memset(dx_at(t, plan.row[j]), 0, I * sizeof(S));
    const Index all = plan.offset[plan.steps], begin = all * part / parts, end = all * (part + 1) / parts;
    constexpr Index kRows = tuning::gathered_rows(kTallest);
    const S *first[kRows], *second[kRows];
    S* to[kRows];
    Factors<S, F> of_first(scratch.take(Factors<S, F>::size(kRows, depth)), depth);
    Factors<S, F> of_second(scratch.take(b.directions == 2 ? Factors<S, F>::size(kRows, depth) : 0), depth);
    alignas(64) S tile_sums[kTileSums<S>];
    Walker walker{plan};
    for (Index from = begin; from < end; from += kRows) {
        const Index count = end - from < kRows ? end - from : kRows;
        for (Index i = 0; i < count; ++i) {
            const Index j = walker.j_of(from + i), t = plan.when(walker.s, j, b.direction[0].reverse);
            first[i] = b.direction[0].dgates + (from + i) * row_size;
            const bool is_opposite = b.direction[1].reverse != b.direction[0].reverse;
            const Index other = is_opposite ? plan.other(walker.s, j) : walker.s;
            second[i] = b.directions == 2 ? b.direction[1].dgates + (plan.offset[other] + j) * row_size : nullptr;
            to[i] = dx_at(t, plan.row[j]);
            of_first.set(i, first[i]);
            if (b.directions == 2) of_second.set(i, second[i]);
        }
        const Tiling tiling(count);
        for (Index column = 0; column < I; column += 4 * L) {
            TileArgs<S, F> args;
            const Index place = column / (4 * L) * column_panel_size<F>(depth);
            const auto panel = [&](Index direction) {
                return ahead(static_cast<const typename F::Weight*>(b.direction[direction].input_packed), place);
            };
            args.first.weights = panel(0);
            args.first.depth = depth;
            args.second.depth = b.directions == 2 ? depth : 0;
            args.second.weights = b.directions == 2 ? panel(1) : nullptr;
            for (Index t = 0; t < tiling.count; ++t) {
                const Index height = tiling.height(t), at = tiling.begin(t);
                for (Index r = 0; r < height; ++r) {
                    args.start[r] = nullptr;
                    args.first.rows[r] = of_first.at(at + r, first[at + r]);
                    args.second.rows[r] = of_second.at(at + r, second[at + r]);
                    prefetch_writes(to[at + r] + column, I - column < 4 * L ? I - column : 4 * L);
                }
                run_tile<S, FourSums>(height, 1, args, tile_sums);
                for (Index r = 0; r < height; ++r)
                    for (Index v = 0; v < 4; ++v) {
                        const Index c = column + v * L, width = width_at<S>(c, I);
                        if (width > 0) store(to[at + r] + c, load(tile_sums + (r * 4 + v) * L), width);
                    }
            }
        }
    }
}

/// One weight's gradient: a factor of its rows (x or h), and the columns of dgates it is multiplied by.
template <class S>
struct Side {
    S* to;  // (rows, width), or null where it is not wanted
    Index width, begin, end;
    Index shift, wrap;  // column c of dgates is row c + shift of `to`, or c + shift + wrap below H
    Index row_of(Index c, Index hidden) const { return c + shift + (c < hidden ? wrap : 0); }
};

/// dW += dgatesᵀ · rows for one chunk. columns: [dgates' columns of this part][kChunkSteps]; packed: scratch for one
/// panel.
template <class S, class F>
void add_products(const Side<S>& side, const S* const* rows, const S* const* masks, Index count, Index hidden,
                  const typename F::Factor* columns, Index begin, Index end, char* packed) {
    constexpr Index L = kLanes<S>;
    const Index from = begin > side.begin ? begin : side.begin, until = end < side.end ? end : side.end;
    if (side.to == nullptr || from >= until) return;
    alignas(64) S tile_sums[kTileSums<S>];
    const Tiling tiling(until - from);
    for (Index column = 0; column < side.width; column += 4 * L) {
        pack_panel<S, F>(count, packed, [&](Index k, Index v) UNROLLED_INLINE_LAMBDA {
            const Index c = column + v * L, width = width_at<S>(c, side.width);
            Vec<S> value = {};
            if (width > 0) value = load(rows[k] + c, width);
            if (width > 0 && masks != nullptr) value = value * load(masks[k] + c, width);
            return value;
        });
        TileArgs<S, F> args;
        args.first.weights = reinterpret_cast<const typename F::Weight*>(packed);
        args.first.depth = count;
        for (Index t = 0; t < tiling.count; ++t) {
            const Index height = tiling.height(t), at = from + tiling.begin(t);
            for (Index r = 0; r < height; ++r) {
                args.start[r] = nullptr;
                args.first.rows[r] = columns + (at + r - begin) * kChunkSteps;
                S* to = side.to + side.row_of(at + r, hidden) * side.width + column;
                prefetch_writes(to, side.width - column < 4 * L ? side.width - column : 4 * L);
            }
            run_tile<S, FourSums>(height, 1, args, tile_sums);
            for (Index r = 0; r < height; ++r) {
                S* to = side.to + side.row_of(at + r, hidden) * side.width;
                for (Index v = 0; v < 4; ++v) {
                    const Index c = column + v * L, width = width_at<S>(c, side.width);
                    if (width > 0) store(to + c, load(to + c, width) + load(tile_sums + (r * 4 + v) * L), width);
                }
            }
        }
    }
}

/// to += from.
template <class S>
UNROLLED_INLINE void add_to(S* to, const S* from, Index count) {
    for (Index i = 0; i < count; i += kLanes<S>) {
        const Index width = width_at<S>(i, count);
        store(to + i, load(to + i, width) + load(from + i, width), width);
    }
}

/// Rounds columns [columns][kChunkSteps] of `count` steps to factors of F in place; returns them.
template <class F, class S>
const typename F::Factor* round_columns(S* columns, Index number, Index count) {
    using Factor = typename F::Factor;
    if constexpr (Factors<S, F>::are_copies) {
        // a row of factors ends before the scalars of the next one begin
        auto* to = reinterpret_cast<Factor*>(columns);
        for (Index c = 0; c < number; ++c) round_row(columns + c * kChunkSteps, count, to + c * kChunkSteps);
        return to;
    } else {
        return columns;
    }
}

/// The gradients of weight_ih, weight_hh and the biases of one direction. A part takes some columns of the gates and
/// all steps, so that sums are added up in the order of m, however many parts there are.
template <class S, class F>
void weight_gradient(const Backward<S>& b, Index direction, Index part, Index parts, Scratch& scratch) {
    constexpr Index L = kLanes<S>;
    const BackwardDirection<S>& d = b.direction[direction];
    const Schedule& plan = b.schedule;
    const Spec& spec = b.spec;
    const Index H = spec.hidden, P = spec.output, G = spec.gates(), row_size = spec.dgates() * H;
    const Index vectors = (row_size + L - 1) / L;
    const Index begin = vectors * part / parts * L;
    const Index end = vectors * (part + 1) / parts * L < row_size ? vectors * (part + 1) / parts * L : row_size;
    if (begin >= end) return;

    const bool is_gru = spec.kind == Kind::gru, resets_before = is_gru && !spec.reset_after;
    const Side<S> of_x{d.dweight_ih, spec.input, 0, G * H, is_gru ? -H : 0, is_gru ? 3 * H : 0};
    const Side<S> of_h{d.dweight_hh, P, is_gru ? H : 0, resets_before ? 3 * H : row_size, is_gru ? -H : 0, 0};
    const Side<S> of_reset{resets_before ? d.dweight_hh : nullptr, P, 0, H, 2 * H, 0};
    const Side<S>* const sides[] = {&of_x, &of_h, &of_reset};
    for (const Side<S>* side : sides)
        for (Index c = begin > side->begin ? begin : side->begin; side->to != nullptr && c < end && c < side->end; ++c)
            std::memset(side->to + side->row_of(c, H) * side->width, 0, side->width * sizeof(S));

    S* columns = take<S>(scratch, (end - begin + L) * kChunkSteps);
    char* packed = take<char>(scratch, column_panel_size<F>(kChunkSteps));
    S* bias = take<S>(scratch, end - begin);
    S* sums = take<S>(scratch, end - begin);
    std::memset(bias, 0, (end - begin) * sizeof(S));
    const S *x[kChunkSteps], *h[kChunkSteps], *reset[kChunkSteps], *masks[kChunkSteps];
    Walker walker{plan};
    const Index all = plan.offset[plan.steps];
    for (Index from = 0; from < all; from += kChunkSteps) {
        const Index count = all - from < kChunkSteps ? all - from : kChunkSteps;
        for (Index k = 0; k < count; ++k) {
            const Index j = walker.j_of(from + k), s = walker.s, row = plan.row[j];
            x[k] = b.x + plan.when(s, j, d.reverse) * b.x_time + row * b.x_batch;
            h[k] = s == 0 ? d.h_0 + plan.sequence[j] * P
                          : b.out + plan.when(s - 1, j, d.reverse) * b.out_time + row * b.out_batch + d.column;
            reset[k] = d.dgates + (from + k) * row_size + 3 * H;
            masks[k] = d.masks.recurrent == nullptr ? nullptr : d.masks.recurrent + row * P;
        }
        const S* dgates = d.dgates + from * row_size;
        // along the rows, as they are in memory; the transposition then reads them from the cache
        std::memset(sums, 0, (end - begin) * sizeof(S));
        for (Index k = 0; k < count; ++k) add_to(sums, dgates + k * row_size + begin, end - begin);
        add_to(bias, sums, end - begin);
        // transposed, so that one gate's gradients over the steps are a row of the product
        for (Index k = 0; k < count; k += L)
            transpose_block(dgates + k * row_size + begin, row_size, count - k < L ? count - k : L, end - begin,
                            columns + k, kChunkSteps);
        const auto* factors = round_columns<F>(columns, end - begin, count);
        const S* const* of_masks = d.masks.recurrent == nullptr ? nullptr : masks;
        add_products<S, F>(of_x, x, nullptr, count, H, factors, begin, end, packed);
        add_products<S, F>(of_h, h, of_masks, count, H, factors, begin, end, packed);
        add_products<S, F>(of_reset, reset, nullptr, count, H, factors, begin, end, packed);
    }
    for (Index c = begin; c < end; ++c) {
        if (d.dbias_ih != nullptr && c < of_x.end) d.dbias_ih[of_x.row_of(c, H)] = bias[c - begin];
        if (d.dbias_hh != nullptr && c >= of_h.begin && c < of_h.end) d.dbias_hh[of_h.row_of(c, H)] = bias[c - begin];
        if (d.dbias_hh != nullptr && resets_before && c < H) d.dbias_hh[2 * H + c] = bias[c - begin];
    }
}

}  // namespace unrolled::UNROLLED_ISA
