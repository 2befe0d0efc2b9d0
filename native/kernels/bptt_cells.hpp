// One step back through each cell, for one block of units: from the gradient of h (and c) to those of the gates and of
// c_{t−1}. Derivations: docs/derivations/{rnn,lstm,gru}.md; the same as step_backward in src/unrolled/cells.
#pragma once

#include "rows.hpp"

namespace unrolled::UNROLLED_ISA {

/// One sequence at one step of a backward pass.
template <class S>
struct BackRow {
    const S* next;   // dgates of the next step as W_hh sees them; not read at a sequence's last step
    const S* gates;  // as the forward pass saved them
    const S* c_prev;
    const S* h;
    const S* h_prev;
    const S* dout;
    const S* extra;  // the part of dh that did not pass the gates: around the cell, or of the final state; or null
    S* carry;        // receives the part of dh that goes around this cell, or null; may alias extra
    S* dc;           // before: the gradient of c_t from later steps; after: that of c_{t−1}
    S* dgates;
    S* dh;  // with projection, the gradient of h
    const S* mask;
    const std::uint8_t* keep_h;
    const std::uint8_t* keep_c;
};

/// The gradient of the cell's own h, and the part that zoneout passes on to h_{t−1}.
template <class S>
struct Arrived {
    Vec<S> dh, kept;
};

/// The gradient of h: through the gates of the next step (`sums`), from the loss at this step, and around the next
/// cell.
template <class S>
UNROLLED_INLINE Arrived<S> arriving(Vec<S> sums, const BackRow<S>& row, const CellArgs<S>& cell, Index unit,
                                    Index width) {
    if (row.mask != nullptr) sums = sums * load(row.mask + unit, width);
    // the loss at this step comes last, so that a pass cut between two steps adds up in the same order
    if (row.extra != nullptr) sums = sums + load(row.extra + unit, width);
    const Vec<S> dh = sums + load(row.dout + unit, width);
    if (row.keep_h != nullptr) {
        const Vec<S> keep = load_flags<S>(row.keep_h + unit, width);
        return {dh * (S(1) - keep), dh * keep};
    }
    return {dh * (S(1) - cell.rate_h), dh * cell.rate_h};
}

struct RnnBack {
    template <class S>
    UNROLLED_INLINE static void step(Arrived<S> in, const BackRow<S>& row, const CellArgs<S>& cell, Index unit,
                                     Index width) {
        const Vec<S> h = load(row.h + unit, width);
        Vec<S> slope;
        switch (cell.spec.nonlinearity) {
            case Nonlinearity::relu:
                slope = h > S(0) ? splat<S>(S(1)) : Vec<S>{};
                break;
            case Nonlinearity::sigmoid:
                slope = h * (S(1) - h);
                break;
            default:
                slope = S(1) - h * h;
        }
        store(row.dgates + unit, in.dh * slope, width);
        if (row.carry != nullptr) store(row.carry + unit, in.kept, width);
    }
};

template <bool coupled>
struct LstmBack {
    template <class S>
    UNROLLED_INLINE static void step(Arrived<S> in, const BackRow<S>& row, const CellArgs<S>& cell, Index unit,
                                     Index width) {
        const Index H = cell.spec.hidden;
        constexpr Index first = coupled ? -1 : 0;  // the position of i
        const S* kept = row.gates + unit;
        const Vec<S> f = load(kept + (first + 1) * H, width), g = load(kept + (first + 2) * H, width);
        const Vec<S> o = load(kept + (first + 3) * H, width);
        const Vec<S> i = [&] {
            if constexpr (coupled)
                return S(1) - f;
            else
                return load(kept, width);
        }();
        const Vec<S> c_prev = load(row.c_prev + unit, width);
        // by the operations of the forward pass, so that it is the same c
        const Vec<S> c = f * c_prev + i * g;
        const Vec<S> tanh_c = tanh<S>(c);
        const Vec<S> d_o = in.dh * tanh_c * o * (S(1) - o);
        Vec<S> dc = load(row.dc + unit, width), dc_kept = {};
        if (row.keep_c != nullptr) {
            const Vec<S> keep = load_flags<S>(row.keep_c + unit, width);
            dc_kept = dc * keep;
            dc = dc * (S(1) - keep);
        } else if (cell.rate_c != S(0)) {
            dc_kept = dc * cell.rate_c;
            dc = dc * (S(1) - cell.rate_c);
        }
        dc = dc + in.dh * o * (S(1) - tanh_c * tanh_c);
        if (cell.peephole != nullptr) dc = dc + d_o * load(cell.peephole + (first + 2) * H + unit, width);
        const Vec<S> d_g = dc * i * (S(1) - g * g);
        // with the coupled gate, f pulls c_{t−1} in and pushes g out
        const Vec<S> d_f = dc * (coupled ? c_prev - g : c_prev) * f * (S(1) - f);
        Vec<S> dc_prev = dc * f + dc_kept;
        if (cell.peephole != nullptr) dc_prev = dc_prev + d_f * load(cell.peephole + (first + 1) * H + unit, width);
        S* dgates = row.dgates + unit;
        if constexpr (!coupled) {
            const Vec<S> d_i = dc * g * i * (S(1) - i);
            if (cell.peephole != nullptr) dc_prev = dc_prev + d_i * load(cell.peephole + unit, width);
            store(dgates, d_i, width);
        }
        store(dgates + (first + 1) * H, d_f, width);
        store(dgates + (first + 2) * H, d_g, width);
        store(dgates + (first + 3) * H, d_o, width);
        store(row.dc + unit, dc_prev, width);
        if (row.carry != nullptr) store(row.carry + unit, in.kept, width);
    }
};

/// Writes n, r, z and n ⊙ r.
struct GruBack {
    template <class S>
    UNROLLED_INLINE static void step(Arrived<S> in, const BackRow<S>& row, const CellArgs<S>& cell, Index unit,
                                     Index width) {
        const Index H = cell.spec.hidden;
        const Vec<S> r = load(row.gates + unit, width), z = load(row.gates + H + unit, width);
        const Vec<S> n = load(row.gates + 2 * H + unit, width), h_n = load(row.gates + 3 * H + unit, width);
        const Vec<S> h_prev = load(row.h_prev + unit, width);
        const Vec<S> d_z = in.dh * (h_prev - n) * z * (S(1) - z);
        const Vec<S> d_n = in.dh * (S(1) - z) * (S(1) - n * n);
        store(row.dgates + unit, d_n, width);
        store(row.dgates + H + unit, d_n * h_n * r * (S(1) - r), width);
        store(row.dgates + 2 * H + unit, d_z, width);
        store(row.dgates + 3 * H + unit, d_n * r, width);
        store(row.carry + unit, in.dh * z + in.kept, width);
    }
};

/// The first stage if the reset comes before the product: n and z; r needs the gradient of r ⊙ h.
struct GruCandidateBack {
    template <class S>
    UNROLLED_INLINE static void step(Arrived<S> in, const BackRow<S>& row, const CellArgs<S>& cell, Index unit,
                                     Index width) {
        const Index H = cell.spec.hidden;
        const Vec<S> z = load(row.gates + H + unit, width), n = load(row.gates + 2 * H + unit, width);
        const Vec<S> h_prev = load(row.h_prev + unit, width);
        store(row.dgates + unit, in.dh * (S(1) - z) * (S(1) - n * n), width);
        store(row.dgates + 2 * H + unit, in.dh * (h_prev - n) * z * (S(1) - z), width);
        store(row.carry + unit, in.dh * z + in.kept, width);
    }
};

/// The second stage: r, from `sums`, the gradient of r ⊙ h; and r ⊙ h itself for the gradient of W_hn.
struct GruResetBack {
    template <class S>
    UNROLLED_INLINE static void step(Vec<S> sums, const BackRow<S>& row, const CellArgs<S>& cell, Index unit,
                                     Index width) {
        const Index H = cell.spec.hidden;
        const Vec<S> r = load(row.gates + unit, width);
        Vec<S> h_in = load(row.h_prev + unit, width), past = sums * r;
        if (row.mask != nullptr) {
            const Vec<S> mask = load(row.mask + unit, width);
            h_in = h_in * mask;
            past = past * mask;
        }
        store(row.dgates + H + unit, sums * h_in * r * (S(1) - r), width);
        store(row.dgates + 3 * H + unit, r * h_in, width);
        store(row.carry + unit, load(row.carry + unit, width) + past, width);
    }
};

}  // namespace unrolled::UNROLLED_ISA
