// The gradients that options of LSTM add: of the projection, a product over all steps, and of the peepholes, sums.
#pragma once

#include "products.hpp"

namespace unrolled::UNROLLED_ISA {

/// Row m of the saved gates and cells, and quantities recomputed from it by the operations of the forward pass.
template <class S>
struct KeptStep {
    const S *gates, *c_prev;
    Index hidden;
    bool coupled;

    UNROLLED_INLINE Vec<S> gate(Index which, Index unit, Index width) const {
        return load(gates + which * hidden + unit, width);
    }
    /// The cell's own c, before zoneout.
    UNROLLED_INLINE Vec<S> cell(Index unit, Index width) const {
        const Index first = coupled ? -1 : 0;
        const Vec<S> f = gate(first + 1, unit, width), g = gate(first + 2, unit, width);
        Vec<S> i = S(1) - f;
        if (!coupled) i = gate(0, unit, width);
        return f * load(c_prev + unit, width) + i * g;
    }
    /// o ⊙ tanh(c), the input of the projection.
    UNROLLED_INLINE Vec<S> inner(Index unit, Index width) const {
        return gate(coupled ? 2 : 3, unit, width) * tanh<S>(cell(unit, width));
    }
};

template <class S>
KeptStep<S> kept_step(const Backward<S>& b, const BackwardDirection<S>& d, Walker& walker, Index m) {
    const Schedule& plan = b.schedule;
    const Index j = walker.j_of(m), s = walker.s, H = b.spec.hidden;
    const S* c_prev = s == 0 ? d.c_0 + plan.sequence[j] * H : d.saved_cells + (plan.offset[s - 1] + j) * H;
    return {d.saved_gates + m * b.spec.saved_gates() * H, c_prev, H, b.spec.coupled};
}

/// dW_hr = Σ dh ⊗ (o ⊙ tanh(c)); a part takes some of its rows.
template <class S>
void projection_gradient(const Backward<S>& b, const BackwardDirection<S>& d, Index part, Index parts,
                         Scratch& scratch) {
    constexpr Index L = kLanes<S>;
    const Index H = b.spec.hidden, P = b.spec.output, begin = P * part / parts, end = P * (part + 1) / parts;
    if (begin >= end) return;
    std::memset(d.dweight_hr + begin * H, 0, (end - begin) * H * sizeof(S));
    S* columns = take<S>(scratch, (end - begin + L) * kChunkSteps);
    char* packed = take<char>(scratch, column_panel_size<Whole<S>>(kChunkSteps));
    S* inner = take<S>(scratch, kChunkSteps * H);
    const S* rows[kChunkSteps];
    const Side<S> side{d.dweight_hr, H, 0, P, 0, 0};
    Walker walker{b.schedule};
    const Index all = b.schedule.offset[b.schedule.steps];
    for (Index from = 0; from < all; from += kChunkSteps) {
        const Index count = all - from < kChunkSteps ? all - from : kChunkSteps;
        for (Index k = 0; k < count; ++k) {
            const KeptStep<S> kept = kept_step(b, d, walker, from + k);
            rows[k] = inner + k * H;
            for (Index unit = 0; unit < H; unit += L) {
                const Index width = width_at<S>(unit, H);
                store(inner + k * H + unit, kept.inner(unit, width), width);
            }
        }
        for (Index k = 0; k < count; k += L)
            transpose_block(d.dh + (from + k) * P + begin, P, count - k < L ? count - k : L, end - begin, columns + k,
                            kChunkSteps);
        add_products<S, Whole<S>>(side, rows, nullptr, count, H, columns, begin, end, packed);
    }
}

/// dp = Σ da ⊙ c, with c_{t−1} for i and f and c_t for o; a part takes some of the units.
template <class S>
void peephole_gradient(const Backward<S>& b, const BackwardDirection<S>& d, Index part, Index parts) {
    constexpr Index L = kLanes<S>;
    const Index H = b.spec.hidden, vectors = (H + L - 1) / L, row_size = b.spec.dgates() * H;
    const Index first = b.spec.coupled ? -1 : 0;  // the position of i
    const Index all = b.schedule.offset[b.schedule.steps];
    for (Index v = vectors * part / parts; v < vectors * (part + 1) / parts; ++v) {
        const Index unit = v * L, width = width_at<S>(unit, H);
        Vec<S> totals[3] = {};
        Walker walker{b.schedule};
        for (Index from = 0; from < all; from += kChunkSteps) {
            const Index count = all - from < kChunkSteps ? all - from : kChunkSteps;
            Vec<S> sums[3] = {};
            for (Index m = from; m < from + count; ++m) {
                const KeptStep<S> kept = kept_step(b, d, walker, m);
                const S* dgates = d.dgates + m * row_size + unit;
                const Vec<S> c_prev = load(kept.c_prev + unit, width);
                if (!b.spec.coupled) sums[0] = sums[0] + load(dgates, width) * c_prev;
                sums[1] = sums[1] + load(dgates + (first + 1) * H, width) * c_prev;
                sums[2] = sums[2] + load(dgates + (first + 3) * H, width) * kept.cell(unit, width);
            }
            for (int i = 0; i < 3; ++i) totals[i] = totals[i] + sums[i];
        }
        S* to = d.dweight_peephole + unit;
        if (!b.spec.coupled) store(to, totals[0], width);
        store(to + (first + 1) * H, totals[1], width);
        store(to + (first + 2) * H, totals[2], width);
    }
}

/// All of one direction's weight gradients.
template <class S>
void weight_gradients(const Backward<S>& b, Index direction, Index part, Index parts, Scratch& scratch) {
    const BackwardDirection<S>& d = b.direction[direction];
    with_format<S>(b.spec.products, [&](auto format) {
        weight_gradient<S, decltype(format)>(b, direction, part, parts, scratch);
    });
    if (d.dweight_hr != nullptr) projection_gradient(b, d, part, parts, scratch);
    if (d.dweight_peephole != nullptr) peephole_gradient(b, d, part, parts);
}

}  // namespace unrolled::UNROLLED_ISA
