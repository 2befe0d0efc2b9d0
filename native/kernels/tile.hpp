// The tile: a few rows times one panel of packed weights, all sums held in registers.
//
//     out[p][r][n] = start[r] + Σ_k first.rows[r][k] · W₁[p][k] + Σ_k second.rows[r][k] · W₂[p][k]
//
// A row's sums are added up in the order of k, one fused multiply-add after the other, whatever the height of the tile.
// A result therefore has the same bits in any batch, beside any neighbours and on any number of threads.
#pragma once

#include "tuning.hpp"
#include "vec.hpp"

namespace unrolled::UNROLLED_ISA {

/// Rows of the tallest tile; 32 registers on AVX-512 and NEON, 16 before.
inline constexpr Index kTallest = tuning::tallest_tile(UNROLLED_REGISTERS);

/// Which sums the weights of one k are added to. There are `weights` vectors for each k; they go to sums 0, 1, …, the
/// last of them to `first_last` in the input's half and to `second_last` in the recurrent half; there are `sums` in
/// all. The halves differ for GRU only: its n keeps W x and W h separate, since r multiplies the latter alone.
struct FourSums {
    static constexpr int weights = 4, sums = 4, first_last = 3, second_last = 3;
};
struct ThreeSums {
    static constexpr int weights = 3, sums = 3, first_last = 2, second_last = 2;
};
struct TwoSums {
    static constexpr int weights = 2, sums = 2, first_last = 1, second_last = 1;
};
struct SplitSums {
    static constexpr int weights = 3, sums = 4, first_last = 2, second_last = 3;
};

/// The formats of products: the elements of packed weights, and those of the rows that they are multiplied by.
template <class S>
struct Whole {
    using Weight = S;
    using Factor = S;
};
struct NarrowWeights {
    using Weight = Narrow;
    using Factor = float;
};
struct NarrowProducts {
    using Weight = Narrow;
    using Factor = Narrow;
};
template <class F>
inline constexpr bool kHasPairs = sizeof(typename F::Weight) == sizeof(Narrow);

/// One half of a product. rows: `depth` factors each, at any address; weights: [depth][weights][lanes], aligned (of
/// Narrow: [depth / 2, rounded up][weights][lanes] pairs); `panel_stride` is the distance to the next panel, in bytes.
/// A row of Narrow of odd depth has one more factor, any finite one: its weight is zero.
template <class F>
struct Segment {
    const typename F::Factor* rows[kTallest];
    const typename F::Weight* weights = nullptr;
    Index depth = 0;
    Index panel_stride = 0;
};

/// The arguments of a tile of sums S. start: [sums][lanes] a row, or all null for zeros, `start_stride` bytes from panel
/// to panel; aliases nothing that is written.
template <class S, class F = Whole<S>>
struct TileArgs {
    const S* start[kTallest];
    Index start_stride = 0;
    Segment<F> first, second;
};

template <class T>
UNROLLED_INLINE const T* ahead(const T* from, Index bytes) {
    return reinterpret_cast<const T*>(reinterpret_cast<const char*>(from) + bytes);
}

/// Rows divided into tiles of nearly equal height: 32 = 6+6+5+5+5+5.
struct Tiling {
    Index count, base, extra;
    explicit Tiling(Index rows)
        : count((rows + kTallest - 1) / kTallest), base(count ? rows / count : 0), extra(count ? rows % count : 0) {}
    Index height(Index tile) const { return base + (tile < extra ? 1 : 0); }
    Index begin(Index tile) const { return tile * base + (tile < extra ? tile : extra); }
};

/// Factor k of a row in every lane.
template <class S>
UNROLLED_INLINE Vec<S> splat_at(const S* row, Index k) {
    return splat<S>(row[k]);
}
UNROLLED_INLINE Vec<float> splat_at(const Narrow* row, Index k) {
    return k % 2 ? second_of(splat_pair(row + k - 1)) : first_of(splat_pair(row + k));
}

/// sums += a · w for one k.
template <class S, int R, int P, int Weights, int Sums, int Last, class A>
UNROLLED_INLINE void accumulate(Vec<S> (&sums)[P][R][Sums], const A* const (&rows)[R], Index k,
                                const Vec<S> (&w)[P][Weights]) {
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
        const Vec<S> a = splat_at(rows[r], k);
#pragma GCC unroll 2
        for (int p = 0; p < P; ++p)
#pragma GCC unroll 4
            for (int g = 0; g < Weights; ++g) {
                Vec<S>& sum = sums[p][r][g == Weights - 1 ? Last : g];
                sum = sum + a * w[p][g];
            }
    }
}

/// sums += products of narrow weights, which are widened first.
template <int R, int P, int Weights, int Sums, int Last, class F>
UNROLLED_INLINE void accumulate_widened(Vec<float> (&sums)[P][R][Sums], const Segment<F>& segment) {
    const typename F::Factor* rows[R];
    for (int r = 0; r < R; ++r) rows[r] = segment.rows[r];
    const auto* weights = reinterpret_cast<const Bits<float>*>(segment.weights);
    const Index stride = segment.panel_stride / static_cast<Index>(sizeof(Bits<float>));
    const Index depth = segment.depth;
    for (Index k = 0; k < depth; k += 2) {
        Bits<float> pairs[P][Weights];
        Vec<float> w[P][Weights];
#pragma GCC unroll 2
        for (int p = 0; p < P; ++p)
#pragma GCC unroll 4
            for (int g = 0; g < Weights; ++g) {
                pairs[p][g] = weights[p * stride + k / 2 * Weights + g];
                w[p][g] = first_of(pairs[p][g]);
            }
        accumulate<float, R, P, Weights, Sums, Last>(sums, rows, k, w);
        if (k + 1 == depth) break;
#pragma GCC unroll 2
        for (int p = 0; p < P; ++p)
#pragma GCC unroll 4
            for (int g = 0; g < Weights; ++g) w[p][g] = second_of(pairs[p][g]);
        accumulate<float, R, P, Weights, Sums, Last>(sums, rows, k + 1, w);
    }
}

#if defined(__AVX512BF16__)
/// sums += products of pairs, two k in one instruction.
template <int R, int P, int Weights, int Sums, int Last>
UNROLLED_INLINE void accumulate_pairs(Vec<float> (&sums)[P][R][Sums], const Segment<NarrowProducts>& segment) {
    const Narrow* rows[R];
    for (int r = 0; r < R; ++r) rows[r] = segment.rows[r];
    const auto* weights = reinterpret_cast<const Bits<float>*>(segment.weights);
    const Index stride = segment.panel_stride / static_cast<Index>(sizeof(Bits<float>));
    const Index depth = segment.depth;
    for (Index k = 0; k < depth; k += 2) {
        Bits<float> w[P][Weights];
#pragma GCC unroll 2
        for (int p = 0; p < P; ++p)
#pragma GCC unroll 4
            for (int g = 0; g < Weights; ++g) w[p][g] = weights[p * stride + k / 2 * Weights + g];
#pragma GCC unroll 6
        for (int r = 0; r < R; ++r) {
            const Bits<float> a = splat_pair(rows[r] + k);
#pragma GCC unroll 2
            for (int p = 0; p < P; ++p)
#pragma GCC unroll 4
                for (int g = 0; g < Weights; ++g) {
                    Vec<float>& sum = sums[p][r][g == Weights - 1 ? Last : g];
                    sum = _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(w[p][g]));
                }
        }
    }
}
#endif

template <int R, int P, int Weights, int Sums, int Last>
UNROLLED_INLINE void accumulate(Vec<float> (&sums)[P][R][Sums], const Segment<NarrowWeights>& segment) {
    accumulate_widened<R, P, Weights, Sums, Last>(sums, segment);
}

template <int R, int P, int Weights, int Sums, int Last>
UNROLLED_INLINE void accumulate(Vec<float> (&sums)[P][R][Sums], const Segment<NarrowProducts>& segment) {
#if defined(__AVX512BF16__)
    accumulate_pairs<R, P, Weights, Sums, Last>(sums, segment);
#else
    accumulate_widened<R, P, Weights, Sums, Last>(sums, segment);
#endif
}

template <int R, int P, int Weights, int Sums, int Last, class S>
UNROLLED_INLINE void accumulate(Vec<S> (&sums)[P][R][Sums], const Segment<Whole<S>>& segment) {
    const S* rows[R];
    for (int r = 0; r < R; ++r) rows[r] = segment.rows[r];
    const S* weights = segment.weights;
    const Index stride = segment.panel_stride / static_cast<Index>(sizeof(S));
    const Index depth = segment.depth;
#pragma GCC unroll 2
    for (Index k = 0; k < depth; ++k) {
        Vec<S> w[P][Weights];
#pragma GCC unroll 2
        for (int p = 0; p < P; ++p)
#pragma GCC unroll 4
            for (int g = 0; g < Weights; ++g) w[p][g] = load(weights + p * stride + (k * Weights + g) * kLanes<S>);
        accumulate<S, R, P, Weights, Sums, Last>(sums, rows, k, w);
    }
}

/// The tile itself, R rows by P panels. out: [P][R][sums][lanes], aligned, aliases nothing.
template <class S, class Sums, int R, int P, class F>
__attribute__((noinline)) void tile(const TileArgs<S, F>& args, S* out) {
    constexpr int N = Sums::sums;
    Vec<S> sums[P][R][N];
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p)
#pragma GCC unroll 6
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
            for (int n = 0; n < N; ++n)
                sums[p][r][n] = args.start[r] == nullptr
                                    ? Vec<S>{}
                                    : load(ahead(args.start[r], p * args.start_stride) + n * kLanes<S>);
    accumulate<R, P, Sums::weights, N, Sums::first_last>(sums, args.first);
    accumulate<R, P, Sums::weights, N, Sums::second_last>(sums, args.second);
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p)
#pragma GCC unroll 6
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
            for (int n = 0; n < N; ++n) store(out + ((p * R + r) * N + n) * kLanes<S>, sums[p][r][n]);
}

/// Scalars that hold the sums of any tile.
template <class S>
inline constexpr Index kTileSums = kTallest * 4 * kLanes<S> * 2;

/// Runs a tile of `height` rows and one panel; a single row may take two panels, which keeps more sums in flight.
template <class S, class Sums, class F>
UNROLLED_INLINE void run_tile(Index height, Index panels, const TileArgs<S, F>& args, S* out) {
    if (height == 1 && panels == 2) return tile<S, Sums, 1, 2>(args, out);
    switch (height) {
        case 1:
            return tile<S, Sums, 1, 1>(args, out);
        case 2:
            return tile<S, Sums, 2, 1>(args, out);
        case 3:
            return tile<S, Sums, 3, 1>(args, out);
#if UNROLLED_REGISTERS >= 32
        case 4:
            return tile<S, Sums, 4, 1>(args, out);
        case 5:
            return tile<S, Sums, 5, 1>(args, out);
        case 6:
            return tile<S, Sums, 6, 1>(args, out);
#endif
        default:
            __builtin_unreachable();
    }
}

}  // namespace unrolled::UNROLLED_ISA
