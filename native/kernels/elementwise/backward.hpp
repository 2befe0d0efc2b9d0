// Backpropagation through time of an elementwise recurrence: the gradients of the gates, the states and the vectors.
// Those of the weights and of x are the products of kernels/products.hpp.
#pragma once

#include "kernels/elementwise/forward.hpp"

namespace unrolled::UNROLLED_ISA {

/// Steps whose shares of a vector's gradient are added up before they join the total: two levels of sums keep the
/// rounding error of long sequences down.
inline constexpr Index kSummedSteps = 64;

template <class S, class Cell>
class ElementwiseBptt {
public:
    ElementwiseBptt(const ElementwiseBackward<S>& b, const Cell& cell, Index direction, const Patch& patch,
                    Scratch& scratch)
        : b_(b),
          d_(b.direction[direction]),
          plan_(b.schedule),
          cell_(cell),
          patch_(patch),
          units_(units_of<S>(patch, b.spec.hidden)),
          hidden_(b.spec.hidden),
          products_(b.spec.products()),
          sums_(take<S>(scratch, own(plan_.count) * Cell::vectors * hidden_)) {}

    void run() {
        begin();
        Index taken = 0;
        for (Index s = plan_.steps - 1; s >= 0; --s) {
            const Index n = own(plan_.running[s]);
            for (Index i = 0; i < n; ++i) step_back(s, i);
            if (++taken % kSummedSteps == 0 || s == 0) add_sums();
        }
    }

private:
    static constexpr Index kHidden = Cell::hides_state ? 1 : 0;

    Index own(Index running) const { return count_own(running, patch_.row_part, patch_.row_parts); }
    Index position(Index i) const { return patch_.row_part + i * patch_.row_parts; }
    Index bytes() const { return (units_.end - units_.begin) * static_cast<Index>(sizeof(S)); }
    S* sums_of(Index i, Index v) const { return sums_ + (i * Cell::vectors + v) * hidden_ + units_.begin; }
    S* dvector(Index v, Index sequence) const {
        return d_.dvectors + (v * plan_.count + sequence) * hidden_ + units_.begin;
    }

    /// dinitial carries the gradient from step to step; it begins as that of the final states.
    void begin() const {
        for (Index i = 0; i < own(plan_.count); ++i) {
            const Index j = position(i), sequence = plan_.sequence[j], at = sequence * hidden_ + units_.begin;
            for (Index k = kHidden; k < kHidden + Cell::states; ++k)
                std::memcpy(d_.dinitial[k] + at, d_.dfinal[k] + at, bytes());
            // an h that no step reads comes through only where there is no step
            if (Cell::hides_state && plan_.length[j] > 0) std::memset(d_.dinitial[0] + at, 0, bytes());
            if (Cell::hides_state && plan_.length[j] == 0)
                std::memcpy(d_.dinitial[0] + at, d_.dfinal[0] + at, bytes());
            for (Index v = 0; v < Cell::vectors; ++v) {
                std::memset(sums_of(i, v), 0, bytes());
                std::memset(dvector(v, sequence), 0, bytes());
            }
        }
    }

    void add_sums() const {
        for (Index i = 0; i < own(plan_.count); ++i)
            for (Index v = 0; v < Cell::vectors; ++v) {
                add_to(dvector(v, plan_.sequence[position(i)]), sums_of(i, v), units_.end - units_.begin);
                std::memset(sums_of(i, v), 0, bytes());
            }
    }

    /// The states before step `s` of position `j`, `stride` from each other.
    const S* previous(Index s, Index j, Index k) const {
        if (s == 0) return d_.initial[kHidden + k] + plan_.sequence[j] * hidden_;
        if (Cell::hides_state) return d_.kept + ((plan_.offset[s - 1] + j) * Cell::states + k) * hidden_;
        return b_.out + plan_.when(s - 1, j, d_.reverse) * b_.out_time + plan_.row[j] * b_.out_batch + d_.column;
    }

    void step_back(Index s, Index i) const {
        constexpr bool maps = Cell::hides_state && Cell::states == 2;
        const Index j = position(i), row = plan_.row[j], t = plan_.when(s, j, d_.reverse), m = plan_.offset[s] + j;
        const Index H = hidden_;
        const S *gates[Cell::gates], *vectors[Cell::vectors + 1], *before[Cell::states];
        S *dgates[Cell::gates], *sums[Cell::vectors + 1], *carry[Cell::states];
        for (Index g = 0; g < Cell::gates; ++g) {
            const bool is_product = g < products_;
            gates[g] = is_product ? d_.gates + (m * products_ + g) * H : b_.x + t * b_.x_time + row * b_.x_batch;
            dgates[g] = is_product ? d_.dgates + (m * products_ + g) * H : d_.dcarried + m * H;
        }
        for (Index v = 0; v < Cell::vectors; ++v) {
            vectors[v] = d_.vectors.data + v * d_.vectors.vector + row * d_.vectors.row;
            sums[v] = sums_of(i, v) - units_.begin;
        }
        for (Index k = 0; k < Cell::states; ++k) {
            before[k] = previous(s, j, k);
            carry[k] = d_.dinitial[kHidden + k] + plan_.sequence[j] * H;
        }
        const S* dout = maps ? d_.dh + m * H : b_.dout + t * b_.dout_time + row * b_.dout_batch + d_.column;
        const S* dkept = maps ? d_.dkept + m * Cell::states * H : nullptr;
        const S* dlast = Cell::hides_state && !maps && s + 1 == plan_.length[j] ? d_.dfinal[0] + plan_.sequence[j] * H : nullptr;
        for (Index unit = units_.begin; unit < units_.end; unit += kLanes<S>)
            at_width<S>(width_at<S>(unit, units_.end), [&](Index width) UNROLLED_INLINE_LAMBDA {
                Vec<S> g[Cell::gates], v[Cell::vectors + 1], p[Cell::states];
                Vec<S> d[Cell::states], dg[Cell::gates], dv[Cell::vectors + 1];
                for (int k = 0; k < Cell::gates; ++k) g[k] = load(gates[k] + unit, width);
                for (int k = 0; k < Cell::vectors; ++k) v[k] = load(vectors[k] + unit, width);
                for (int k = 0; k < Cell::vectors; ++k) dv[k] = load(sums[k] + unit, width);
                for (int k = 0; k < Cell::states; ++k) p[k] = load(before[k] + unit, width);
                for (int k = 0; k < Cell::states; ++k) d[k] = load(carry[k] + unit, width);
                Vec<S> dh = load(dout + unit, width);
                if (dlast != nullptr) dh = dh + load(dlast + unit, width);
                if constexpr (!Cell::hides_state) d[0] = d[0] + dh;
                for (int k = 0; maps && k < Cell::states; ++k) d[k] = d[k] + load(dkept + k * H + unit, width);
                cell_.back(g, v, p, dh, d, dg, dv);
                for (int k = 0; k < Cell::gates; ++k) store(dgates[k] + unit, dg[k], width);
                for (int k = 0; k < Cell::vectors; ++k) store(sums[k] + unit, dv[k], width);
                for (int k = 0; k < Cell::states; ++k) store(carry[k] + unit, d[k], width);
            });
    }

    const ElementwiseBackward<S>& b_;
    const ElementwiseBackwardDirection<S>& d_;
    const Schedule& plan_;
    const Cell cell_;
    const Patch patch_;
    const Units units_;
    const Index hidden_, products_;
    S* const sums_;
};

template <class S>
void elementwise_bptt(const ElementwiseBackward<S>& b, Index direction, const Patch& patch, Scratch& scratch) {
    with_recurrence<S>(b.spec, [&](const auto& cell) {
        ElementwiseBptt<S, std::remove_cvref_t<decltype(cell)>>(b, cell, direction, patch, scratch).run();
    });
}

/// dh of a mapped cell: the gradient of its output, and of the final h after the last step.
template <class S>
void gather_dh(const ElementwiseBackward<S>& b, Index direction, Index part, Index parts) {
    const auto& d = b.direction[direction];
    const Schedule& plan = b.schedule;
    const Index H = b.spec.hidden, all = plan.offset[plan.steps];
    Walker walker{plan};
    for (Index m = all * part / parts; m < all * (part + 1) / parts; ++m) {
        const Index j = walker.j_of(m), s = walker.s, row = plan.row[j];
        const Index t = plan.when(s, j, d.reverse);
        std::memcpy(d.dh + m * H, b.dout + t * b.dout_time + row * b.dout_batch + d.column, H * sizeof(S));
        if (s + 1 == plan.length[j]) add_to(d.dh + m * H, d.dfinal[0] + plan.sequence[j] * H, H);
    }
}

template <class S>
void add_carried(const ElementwiseBackward<S>& b, Index part, Index parts) {
    const Schedule& plan = b.schedule;
    const Index H = b.spec.hidden, all = plan.offset[plan.steps];
    Walker walker{plan};
    for (Index m = all * part / parts; m < all * (part + 1) / parts; ++m) {
        const Index j = walker.j_of(m), t = plan.when(walker.s, j, b.direction[0].reverse);
        S* dx = b.dx + t * b.dx_time + plan.row[j] * b.dx_batch;
        for (Index i = 0; i < b.directions; ++i) {
            const Index s = b.direction[i].reverse == b.direction[0].reverse ? walker.s : plan.other(walker.s, j);
            add_to(dx, b.direction[i].dcarried + (plan.offset[s] + j) * H, H);
        }
    }
}

}  // namespace unrolled::UNROLLED_ISA
