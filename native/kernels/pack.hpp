// Packing: weights in the order in which tiles read them.
//
// A *gate panel* serves one block of units: [sums][lanes] of bias, then for each k of x and of h the weights of all
// gates side by side, [weights][lanes]. A *column panel* is 4 vectors of columns of a matrix, [rows][4][lanes]. Narrow
// weights of two consecutive k share a lane. Units
// and columns that do not exist are zero, so that no tile handles odd sizes.
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
        // log2(L) perfect shuffles of the rows transpose them
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

/// Where the weights of one stage of a cell are; see the stages in lstm.hpp, gru.hpp and rnn.hpp. A panel is its biases
/// [sums][lanes] of S, then the weights of x, then those of h; sizes and places count bytes.
struct StageWeights {
    const char* packed = nullptr;
    Index panels = 0, panel_size = 0, x_place = 0, h_place = 0, x_depth = 0, h_depth = 0;
    // the first of this stage's sums in a row of projected inputs, in scalars
    Index start_offset = 0;
};

/// Bytes of the weights of `depth` k.
template <class F>
UNROLLED_INLINE Index depth_size(Index depth, Index weights) {
    const Index registers = kHasPairs<F> ? (depth + 1) / 2 : depth;
    return registers * weights * UNROLLED_VECTOR_BYTES;
}

template <class S, class F, class Stage>
UNROLLED_INLINE StageWeights stage_weights(const Spec& spec) {
    constexpr Index L = kLanes<S>;
    StageWeights w;
    w.x_depth = spec.input;
    w.h_depth = spec.output;
    w.panels = (spec.hidden + Stage::blocks * L - 1) / (Stage::blocks * L);
    w.x_place = Stage::Sums::sums * UNROLLED_VECTOR_BYTES;
    w.h_place = w.x_place + depth_size<F>(w.x_depth, Stage::Sums::weights);
    w.panel_size = w.h_place + depth_size<F>(w.h_depth, Stage::Sums::weights);
    return w;
}

/// Rounds weights [depth][gates][lanes] to pairs of bfloat16 [depth / 2][gates][lanes].
UNROLLED_INLINE void narrow(const float* wide, Index depth, Index gates, Bits<float>* pairs) {
    constexpr Index L = kLanes<float>;
    for (Index k = 0; k < depth; k += 2)
        for (Index g = 0; g < gates; ++g) {
            const float* first = wide + (k * gates + g) * L;
            *pairs++ = pairs_of(load(first), k + 1 < depth ? load(first + gates * L) : Vec<float>{});
        }
}

/// Packs one half of a panel, the weights of x or of h.
template <class S, class F, class Stage>
void pack_half(const S* weight, Index depth, Index panel, Index hidden, char* to, Scratch& scratch) {
    constexpr Index L = kLanes<S>;
    constexpr Index G = Stage::Sums::weights;
    S* wide = reinterpret_cast<S*>(to);
    if constexpr (kHasPairs<F>) wide = static_cast<S*>(scratch.take(depth * G * UNROLLED_VECTOR_BYTES));
    for (Index g = 0; g < G; ++g) {
        const auto place = Stage::weight(g, panel, L, hidden);
        const Index valid = hidden - place.unit < L ? hidden - place.unit : L;
        // a block beyond the last unit has no valid row, and reads nothing
        const Index row = valid > 0 ? place.row : 0;
        transpose_block(weight + row * depth, depth, valid, depth, wide + g * L, G * L);
    }
    if constexpr (kHasPairs<F>) narrow(wide, depth, G, reinterpret_cast<Bits<float>*>(to));
}

template <class S, class F, class Stage>
void pack_stage(const Spec& spec, const Parameters<S>& from, char* packed, Index begin, Index end, Scratch& scratch) {
    constexpr Index L = kLanes<S>;
    const StageWeights w = stage_weights<S, F, Stage>(spec);
    packed += begin * w.panel_size;
    for (Index panel = begin; panel < end; ++panel, packed += w.panel_size) {
        for (Index n = 0; n < Stage::Sums::sums; ++n) {
            const auto place = Stage::bias(n, panel, L, spec.hidden);
            const Index valid = spec.hidden - place.unit;
            Vec<S> bias = {};
            if (valid > 0 && from.bias_ih != nullptr) {
                if (place.of_input) bias = load(from.bias_ih + place.row, valid);
                if (place.of_hidden) bias = bias + load(from.bias_hh + place.row, valid);
            }
            store(reinterpret_cast<S*>(packed) + n * L, bias);
        }
        scratch.reset();
        pack_half<S, F, Stage>(from.weight_ih, w.x_depth, panel, spec.hidden, packed + w.x_place, scratch);
        pack_half<S, F, Stage>(from.weight_hh, w.h_depth, panel, spec.hidden, packed + w.h_place, scratch);
    }
}

/// Bytes of a column panel of `depth` k.
template <class F>
UNROLLED_INLINE Index column_panel_size(Index depth) {
    return depth_size<F>(depth, 4);
}

template <class S, class F>
Index columns_size(Index rows, Index columns) {
    constexpr Index width = 4 * kLanes<S>;
    return (columns + width - 1) / width * column_panel_size<F>(rows);
}

/// Packs one column panel of `depth` rows: value(k, v) is vector v of its columns in row k.
template <class S, class F, class Value>
UNROLLED_INLINE void pack_panel(Index depth, char* packed, Value value) {
    for (Index k = 0; k < depth; k += kHasPairs<F> ? 2 : 1)
        for (Index v = 0; v < 4; ++v, packed += UNROLLED_VECTOR_BYTES) {
            if constexpr (kHasPairs<F>) {
                const Vec<S> second = k + 1 < depth ? value(k + 1, v) : Vec<S>{};
                *reinterpret_cast<Bits<S>*>(packed) = pairs_of(value(k, v), second);
            } else {
                *reinterpret_cast<Vec<S>*>(packed) = value(k, v);
            }
        }
}

/// Packs a (rows, columns) matrix into column panels, for products with its rows as k.
template <class S, class F>
void pack_columns(const S* matrix, Index rows, Index columns, char* packed) {
    constexpr Index L = kLanes<S>;
    for (Index column = 0; column < columns; column += 4 * L, packed += column_panel_size<F>(rows))
        pack_panel<S, F>(rows, packed, [&](Index row, Index v) UNROLLED_INLINE_LAMBDA {
            const Index left = columns - column - v * L;
            return left > 0 ? load(matrix + row * columns + column + v * L, left) : Vec<S>{};
        });
}

/// Packs the transpose of a (rows, columns) matrix into column panels, for products with its columns as k.
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
