// Weights in the order in which tiles read them.
//
// A *gate panel* serves one block of units: [sums][lanes] of bias, then for each k of x and of h the weights of all
// gates side by side, [weights][lanes]. A *column panel* is 4 vectors of columns of a matrix, [rows][4][lanes]. Units
// and columns that do not exist are zero, so no tile needs to know about odd sizes.
#pragma once

#include "engine.hpp"
#include "tile.hpp"

namespace unrolled::UNROLLED_ISA {

template <Index... I>
struct Indices {};
#if defined(__clang__)
template <class, Index... I>
using IndicesOf = Indices<I...>;
template <Index N>
using UpTo = __make_integer_seq<IndicesOf, Index, N>;
#else
template <Index N>
using UpTo = Indices<__integer_pack(N)...>;
#endif

template <class S, Index... I>
UNROLLED_INLINE Vec<S> interleave_low(Vec<S> a, Vec<S> b, Indices<I...>) {
    return __builtin_shufflevector(a, b, (I % 2 ? kLanes<S> + I / 2 : I / 2)...);
}
template <class S, Index... I>
UNROLLED_INLINE Vec<S> interleave_high(Vec<S> a, Vec<S> b, Indices<I...>) {
    return __builtin_shufflevector(a, b, (I % 2 ? kLanes<S> + kLanes<S> / 2 + I / 2 : kLanes<S> / 2 + I / 2)...);
}

/// to[k · stride + u] = from[u · ld + k] for k below `depth`, u below `valid`; lanes from `valid` on become zero.
template <class S>
void transpose_block(const S* from, Index ld, Index valid, Index depth, S* to, Index stride) {
    constexpr Index L = kLanes<S>;
    for (Index k = 0; k < depth; k += L) {
        const Index width = depth - k < L ? depth - k : L;
        Vec<S> v[L], w[L];
        for (Index u = 0; u < L; ++u) v[u] = u < valid ? load(from + u * ld + k, width) : Vec<S>{};
        // log2(L) perfect shuffles of the rows are a transposition
#pragma GCC unroll 4
        for (Index span = 1; span < L; span *= 2) {
#pragma GCC unroll 8
            for (Index i = 0; i < L / 2; ++i) {
                w[2 * i] = interleave_low<S>(v[i], v[i + L / 2], UpTo<L>{});
                w[2 * i + 1] = interleave_high<S>(v[i], v[i + L / 2], UpTo<L>{});
            }
#pragma GCC unroll 16
            for (Index i = 0; i < L; ++i) v[i] = w[i];
        }
        for (Index i = 0; i < width; ++i) store(to + (k + i) * stride, v[i]);
    }
}

/// Where the weights of one stage of a cell lie; see the stages in lstm.hpp, gru.hpp and rnn.hpp.
template <class S>
struct StageWeights {
    const S* packed = nullptr;
    Index panels = 0, panel_size = 0, x_depth = 0, h_depth = 0;
    // where this stage's sums begin in a row of projected inputs
    Index start_offset = 0;
};

template <class S, class Stage>
UNROLLED_INLINE StageWeights<S> stage_weights(const Spec& spec) {
    constexpr Index L = kLanes<S>;
    StageWeights<S> w;
    w.x_depth = spec.input;
    w.h_depth = spec.output;
    w.panels = (spec.hidden + Stage::blocks * L - 1) / (Stage::blocks * L);
    w.panel_size = (Stage::Sums::sums + (w.x_depth + w.h_depth) * Stage::Sums::weights) * L;
    return w;
}

template <class S, class Stage>
void pack_stage(const Spec& spec, const Parameters<S>& from, S* packed) {
    constexpr Index L = kLanes<S>;
    constexpr Index G = Stage::Sums::weights;
    const StageWeights<S> w = stage_weights<S, Stage>(spec);
    for (Index panel = 0; panel < w.panels; ++panel, packed += w.panel_size) {
        S* x_part = packed + Stage::Sums::sums * L;
        S* h_part = x_part + w.x_depth * G * L;
        for (Index n = 0; n < Stage::Sums::sums; ++n) {
            const auto place = Stage::bias(n, panel, L, spec.hidden);
            const Index valid = spec.hidden - place.unit;
            Vec<S> bias = {};
            if (valid > 0 && from.bias_ih != nullptr) {
                if (place.of_input) bias = load(from.bias_ih + place.row, valid);
                if (place.of_hidden) bias = bias + load(from.bias_hh + place.row, valid);
            }
            store(packed + n * L, bias);
        }
        for (Index g = 0; g < G; ++g) {
            const auto place = Stage::weight(g, panel, L, spec.hidden);
            const Index valid = spec.hidden - place.unit < L ? spec.hidden - place.unit : L;
            // a block beyond the last unit has no valid row, so its address is never read
            const Index row = valid > 0 ? place.row : 0;
            transpose_block(from.weight_ih + row * w.x_depth, w.x_depth, valid, w.x_depth, x_part + g * L, G * L);
            transpose_block(from.weight_hh + row * w.h_depth, w.h_depth, valid, w.h_depth, h_part + g * L, G * L);
        }
    }
}

template <class S>
Index columns_size(Index rows, Index columns) {
    constexpr Index W = 4 * kLanes<S>;
    return (columns + W - 1) / W * W * rows;
}

/// Column panels of a (rows, columns) matrix: for products with its rows as k.
template <class S>
void pack_columns(const S* matrix, Index rows, Index columns, S* packed) {
    constexpr Index L = kLanes<S>;
    for (Index column = 0; column < columns; column += 4 * L)
        for (Index row = 0; row < rows; ++row, packed += 4 * L)
            for (Index v = 0; v < 4; ++v) {
                const Index left = columns - column - v * L;
                store(packed + v * L, left > 0 ? load(matrix + row * columns + column + v * L, left) : Vec<S>{});
            }
}

/// Column panels of the transpose of a (rows, columns) matrix: for products with its columns as k.
template <class S>
void pack_transposed(const S* matrix, Index rows, Index columns, S* packed) {
    constexpr Index L = kLanes<S>;
    for (Index row = 0; row < rows; row += 4 * L, packed += columns * 4 * L)
        for (Index v = 0; v < 4; ++v) {
            const Index left = rows - row - v * L;
            const Index from = left > 0 ? row + v * L : 0;
            transpose_block(matrix + from * columns, columns, left < L ? left : L, columns, packed + v * L, 4 * L);
        }
}

}  // namespace unrolled::UNROLLED_ISA
