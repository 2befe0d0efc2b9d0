// The sequences of a batch, as Python describes them.
#pragma once

#include "any_packed.hpp"

namespace unrolled {

/// Where the sequences of a batch are: T, B, the address of the lengths (B,), or 0, and instead of these the address of
/// documents (N, 3), each its row, begin and length, and N.
struct Layout {
    Index time, batch;
    std::int64_t lengths, documents;
    Index count;

    Plan plan() const {
        if (documents != 0) return Plan(time, batch, at<const Sequence>(documents), count);
        return Plan(time, batch, at<const std::int64_t>(lengths));
    }
};

}  // namespace unrolled
