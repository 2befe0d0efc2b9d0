// The rows of a product as tiles read them: where they are, or rounded to the factors of the product's format.
#pragma once

#include "tile.hpp"

namespace unrolled::UNROLLED_ISA {

/// Rounds a row; an odd one gets a zero after its last scalar.
UNROLLED_INLINE void round_row(const float* from, Index depth, Narrow* to) {
    Index k = 0;
    for (; k + kLanes<float> <= depth; k += kLanes<float>) store(to + k, load(from + k));
    for (; k < depth; ++k) to[k].bits = static_cast<std::uint16_t>(narrowed(from[k]));
    if (depth % 2 != 0) to[depth] = Narrow{};
}

/// Some rows of scalars S as the factors of products of format F.
template <class S, class F>
class Factors {
public:
    using Factor = typename F::Factor;
    static constexpr bool are_copies = sizeof(Factor) != sizeof(S);

    /// Bytes of memory for so many rows.
    static Index size(Index rows, Index depth) { return are_copies ? rows * stride_of(depth) : 0; }

    Factors(void* memory, Index depth) : memory_(static_cast<char*>(memory)), depth_(depth) {}

    /// Makes row `i` from its scalars. They may change afterwards only where factors are copies.
    void set(Index i, const S* row) {
        if constexpr (are_copies) round_row(row, depth_, reinterpret_cast<Factor*>(memory_ + i * stride_of(depth_)));
    }
    /// Row `i`, whose scalars are at `row`.
    const Factor* at(Index i, const S* row) const {
        if constexpr (are_copies)
            return reinterpret_cast<const Factor*>(memory_ + i * stride_of(depth_));
        else
            return row;
    }

private:
    static Index stride_of(Index depth) {
        const Index bytes = (depth + depth % 2) * static_cast<Index>(sizeof(Factor));
        return (bytes + 63) / 64 * 64;
    }

    char* memory_;
    Index depth_;
};

}  // namespace unrolled::UNROLLED_ISA
