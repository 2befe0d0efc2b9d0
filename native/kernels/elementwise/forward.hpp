// The forward pass of an elementwise recurrence. A thread makes the gates of its own sequences and units, some steps at
// a time, and runs the recurrence over them while they are in its cache; no thread waits for another.
#pragma once

#include "kernels/elementwise/cells.hpp"
#include "kernels/products.hpp"

namespace unrolled::UNROLLED_ISA {

inline constexpr Index kPanel = 4;  // vectors of a panel
inline constexpr Index kGathered = tuning::gathered_rows(kTallest);

template <class S>
Index panels_of(Index units) {
    return (units + kPanel * kLanes<S> - 1) / (kPanel * kLanes<S>);
}

/// Scalars of one packed block: its biases, then its panels of weights.
template <class S>
Index block_size(Index hidden, Index input) {
    const Index weights = columns_size<S, Whole<S>>(input, hidden) / static_cast<Index>(sizeof(S));
    return panels_of<S>(hidden) * kPanel * kLanes<S> + weights;
}

template <class S>
Index blocks_size(Index blocks, Index hidden, Index input) {
    return blocks * block_size<S>(hidden, input);
}

template <class S>
void pack_blocks(const S* weight, const S* bias, Index blocks, Index biased, Index hidden, Index input, S* to) {
    const Index width = panels_of<S>(hidden) * kPanel * kLanes<S>;
    for (Index block = 0; block < blocks; ++block, to += block_size<S>(hidden, input)) {
        std::memset(to, 0, width * sizeof(S));
        if (bias != nullptr && block < biased) std::memcpy(to, bias + block * hidden, hidden * sizeof(S));
        pack_transposed(weight + block * hidden * input, hidden, input, to + width);
    }
}

/// The units of a patch.
struct Units {
    Index begin, end;
};

template <class S>
Units units_of(const Patch& patch, Index hidden) {
    const Index panels = panels_of<S>(hidden), panel = kPanel * kLanes<S>;
    const Index end = panels * (patch.unit_part + 1) / patch.unit_parts * panel;
    return {panels * patch.unit_part / patch.unit_parts * panel, end < hidden ? end : hidden};
}

/// to[i][c] = start[c] + rows[i] · panel of c, plus added[i][c] if there is any, for columns c from `units.begin` to
/// `units.end`. start is padded to whole panels, or null for zeros.
template <class S>
void product(const S* const* rows, Index count, Index depth, const S* panels, const S* start, const S* const* added,
             Units units, S* const* to) {
    constexpr Index L = kLanes<S>, kWidth = kPanel * L;
    alignas(64) S tile_sums[kTileSums<S>];
    const Tiling tiling(count);
    for (Index column = units.begin; column < units.end; column += kWidth) {
        TileArgs<S> args;
        args.first.weights = panels + column * depth;
        args.first.depth = depth;
        for (Index t = 0; t < tiling.count; ++t) {
            const Index height = tiling.height(t), at = tiling.begin(t);
            for (Index r = 0; r < height; ++r) {
                args.start[r] = start == nullptr ? nullptr : start + column;
                args.first.rows[r] = args.second.rows[r] = rows[at + r];
                prefetch_writes(to[at + r] + column, units.end - column < kWidth ? units.end - column : kWidth);
            }
            run_tile<S, FourSums>(height, 1, args, tile_sums);
            for (Index r = 0; r < height; ++r)
                for (Index v = 0; v < kPanel; ++v) {
                    const Index c = column + v * L, width = width_at<S>(c, units.end);
                    if (width <= 0) break;
                    Vec<S> sum = load(tile_sums + (r * kPanel + v) * L);
                    if (added != nullptr) sum = sum + load(added[at + r] + c, width);
                    store(to[at + r] + c, sum, width);
                }
        }
    }
}

/// The output of a mapped cell: up to kGathered rows of states are gathered, and then multiplied at once.
template <class S>
class Mapping {
public:
    Mapping(const ElementwiseForward<S>& f, Index direction) : f_(f), d_(f.direction[direction]) {}

    /// Adds step `s` of position `j`: its states, and the last block of its gates.
    void add(Index s, Index j, const S* states, const S* through) {
        const Schedule& plan = f_.schedule;
        states_[count_] = states;
        through_[count_] = through;
        final_[count_] = s + 1 == plan.length[j] ? d_.final[0] + plan.sequence[j] * f_.spec.hidden : nullptr;
        to_[count_++] = f_.out + plan.when(s, j, d_.reverse) * f_.out_time + plan.row[j] * f_.out_batch + d_.column;
        if (count_ == kGathered) flush();
    }
    void flush() {
        const Index H = f_.spec.hidden;
        product<S>(states_, count_, 2 * H, d_.output_packed, nullptr, through_, {0, H}, to_);
        for (Index i = 0; i < count_; ++i)
            if (final_[i] != nullptr) std::memcpy(final_[i], to_[i], H * sizeof(S));
        count_ = 0;
    }

private:
    const ElementwiseForward<S>& f_;
    const ElementwiseForwardDirection<S>& d_;
    Index count_ = 0;
    const S *states_[kGathered] = {}, *through_[kGathered] = {};
    S *to_[kGathered] = {}, *final_[kGathered] = {};
};

template <class S, class Cell>
class ElementwisePass {
public:
    ElementwisePass(const ElementwiseForward<S>& f, const Cell& cell, Index direction, const Patch& patch,
                    Scratch& scratch)
        : f_(f),
          d_(f.direction[direction]),
          plan_(f.schedule),
          cell_(cell),
          patch_(patch),
          units_(units_of<S>(patch, f.spec.hidden)),
          hidden_(f.spec.hidden),
          products_(f.spec.products()),
          mapping_(f, direction) {
        const Index mine = own(plan_.count), most = mine > kGathered ? mine : kGathered;
        states_ = take<S>(scratch, mine * Cell::states * hidden_);
        rows_ = take<Row>(scratch, most);
        x_rows_ = take<const S*>(scratch, most);
        gate_rows_ = take<S*>(scratch, most);
        gates_ = d_.gates != nullptr ? nullptr : take<S>(scratch, most * products_ * hidden_);
        kept_ = maps_now() ? take<S>(scratch, most * Cell::states * hidden_) : nullptr;
    }

    void run() {
        begin();
        for (Index s = 0; s < plan_.steps;) s = run_chunk(s);
        finish();
    }

private:
    static constexpr Index kHidden = Cell::hides_state ? 1 : 0;  // states that are not carried
    struct Row {
        Index s, i;
    };

    Index own(Index running) const { return count_own(running, patch_.row_part, patch_.row_parts); }
    Index position(Index i) const { return patch_.row_part + i * patch_.row_parts; }
    bool maps_now() const { return f_.spec.is_mapped() && d_.kept == nullptr; }
    S* state_of(Index i, Index k) const { return states_ + (i * Cell::states + k) * hidden_; }
    S* out_at(Index t, Index row) const { return f_.out + t * f_.out_time + row * f_.out_batch + d_.column; }
    void copy(S* to, const S* from) const {
        std::memcpy(to + units_.begin, from + units_.begin, (units_.end - units_.begin) * sizeof(S));
    }

    /// Sets the states, those of sequences without a step, and zeros where a sequence is over.
    void begin() const {
        for (Index i = 0; i < own(plan_.count); ++i) {
            const Index j = position(i), at = plan_.sequence[j] * hidden_;
            for (Index k = 0; k < Cell::states; ++k) copy(state_of(i, k), d_.initial[kHidden + k] + at);
            if (Cell::hides_state && plan_.length[j] == 0) copy(d_.final[0] + at, d_.initial[0] + at);
            for (Index t = plan_.end(j); t < plan_.until[j]; ++t)
                std::memset(out_at(t, plan_.row[j]) + units_.begin, 0, (units_.end - units_.begin) * sizeof(S));
        }
    }

    void finish() const {
        for (Index i = 0; i < own(plan_.count); ++i)
            for (Index k = 0; k < Cell::states; ++k)
                copy(d_.final[kHidden + k] + plan_.sequence[position(i)] * hidden_, state_of(i, k));
    }

    /// Takes the steps from `s` on that are gathered at once, at least one, and returns the next.
    Index run_chunk(Index s) {
        Index count = 0;
        for (Index n; s < plan_.steps && (n = own(plan_.running[s])) > 0; ++s) {
            if (count > 0 && count + n > kGathered) break;
            for (Index i = 0; i < n; ++i, ++count) {
                const Index j = position(i), row = plan_.row[j];
                rows_[count] = {s, i};
                x_rows_[count] = f_.x + plan_.when(s, j, d_.reverse) * f_.x_time + row * f_.x_batch;
                gate_rows_[count] = d_.gates == nullptr ? gates_ + count * products_ * hidden_
                                                        : d_.gates + (plan_.offset[s] + j) * products_ * hidden_;
            }
        }
        if (count == 0) return plan_.steps;
        project(count);
        for (Index n = 0; n < count; ++n) step(n);
        // the memory of this chunk is that of the next one
        if (kept_ != nullptr) mapping_.flush();
        return s;
    }

    /// Makes the gates of a chunk, block by block.
    void project(Index count) {
        const Index size = block_size<S>(hidden_, f_.spec.input), width = panels_of<S>(hidden_) * kPanel * kLanes<S>;
        for (Index block = 0; block < products_; ++block) {
            const S* packed = d_.packed + block * size;
            product<S>(x_rows_, count, f_.spec.input, packed + width, packed, nullptr, units_, gate_rows_);
            for (Index n = 0; n < count; ++n) gate_rows_[n] += hidden_;
        }
        for (Index n = 0; n < count; ++n) gate_rows_[n] -= products_ * hidden_;
    }

    /// Takes one step of one sequence.
    void step(Index n) {
        const auto [s, i] = rows_[n];
        const Index j = position(i), row = plan_.row[j], m = plan_.offset[s] + j, H = hidden_;
        S* states = state_of(i, 0);
        const S *gates[Cell::gates], *vectors[Cell::vectors + 1];
        for (Index g = 0; g < Cell::gates; ++g) gates[g] = g < products_ ? gate_rows_[n] + g * hidden_ : x_rows_[n];
        for (Index v = 0; v < Cell::vectors; ++v)
            vectors[v] = d_.vectors.data + v * d_.vectors.vector + row * d_.vectors.row;
        S* kept = d_.kept != nullptr ? d_.kept + m * Cell::states * hidden_
                                     : (kept_ == nullptr ? nullptr : kept_ + n * Cell::states * hidden_);
        S* out = f_.spec.is_mapped() ? nullptr : out_at(plan_.when(s, j, d_.reverse), row);
        S* last = Cell::hides_state && out != nullptr && s + 1 == plan_.length[j] ? d_.final[0] + plan_.sequence[j] * hidden_ : nullptr;
        for (Index unit = units_.begin; unit < units_.end; unit += kLanes<S>)
            at_width<S>(width_at<S>(unit, units_.end), [&](Index width) UNROLLED_INLINE_LAMBDA {
                Vec<S> g[Cell::gates], v[Cell::vectors + 1], state[Cell::states];
                for (int k = 0; k < Cell::gates; ++k) g[k] = load(gates[k] + unit, width);
                for (int k = 0; k < Cell::vectors; ++k) v[k] = load(vectors[k] + unit, width);
                for (int k = 0; k < Cell::states; ++k) state[k] = load(states + k * H + unit, width);
                const Vec<S> h = cell_.step(g, v, state);
                for (int k = 0; k < Cell::states; ++k) store(states + k * H + unit, state[k], width);
                for (int k = 0; kept != nullptr && k < Cell::states; ++k)
                    store(kept + k * H + unit, state[k], width);
                if (out != nullptr) store(out + unit, h, width);
                if (last != nullptr) store(last + unit, h, width);
            });
        if (kept_ != nullptr) mapping_.add(s, j, kept, gates[Cell::gates - 1]);
    }

    const ElementwiseForward<S>& f_;
    const ElementwiseForwardDirection<S>& d_;
    const Schedule& plan_;
    const Cell cell_;
    const Patch patch_;
    const Units units_;
    const Index hidden_, products_;
    Mapping<S> mapping_;
    S *states_, *gates_, *kept_;
    Row* rows_;
    const S** x_rows_;
    S** gate_rows_;
};

template <class S>
void elementwise_forward(const ElementwiseForward<S>& f, Index direction, const Patch& patch, Scratch& scratch) {
    with_recurrence<S>(f.spec, [&](const auto& cell) {
        ElementwisePass<S, std::remove_cvref_t<decltype(cell)>>(f, cell, direction, patch, scratch).run();
    });
}

/// The output of a mapped cell, from the gates and states of a training pass; a part takes some of all rows.
template <class S>
void map_output(const ElementwiseForward<S>& f, Index direction, Index part, Index parts, Scratch&) {
    const auto& d = f.direction[direction];
    const Schedule& plan = f.schedule;
    const Index H = f.spec.hidden, all = plan.offset[plan.steps], products = f.spec.products();
    Mapping<S> mapping(f, direction);
    Walker walker{plan};
    for (Index m = all * part / parts; m < all * (part + 1) / parts; ++m) {
        const Index j = walker.j_of(m);
        mapping.add(walker.s, j, d.kept + m * 2 * H, d.gates + (m * products + products - 1) * H);
    }
    mapping.flush();
}

}  // namespace unrolled::UNROLLED_ISA
