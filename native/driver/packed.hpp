// Packed weights and the order of work: what the driver prepares for the kernels.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

#include "engine.hpp"
#include "runtime/cpu.hpp"
#include "runtime/memory.hpp"

namespace unrolled {

/// Aligned memory, not initialised.
class Buffer {
public:
    explicit Buffer(Index bytes) : data_(new_memory(bytes)), size_(bytes) {}
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { free_memory(data_, size_); }
    template <class S>
    S* as() const {
        return static_cast<S*>(data_);
    }
    Index size() const { return size_; }

private:
    void* data_;
    Index size_;
};

/// Addresses of weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, weight_peephole; 0 where there is none.
using ParameterAddresses = std::array<std::int64_t, 6>;

/// One direction's weights as the forward pass reads them. It owns a copy; later changes of the parameters do not reach
/// it.
template <class S>
class Packed {
public:
    /// Packs with up to `threads` threads.
    Packed(const Spec& spec, const Parameters<S>& parameters, Index threads = 1);
    const Spec& spec() const { return spec_; }
    const Kernels<S>& kernels() const { return kernels_; }
    const void* gates() const { return gates_.template as<void>(); }
    const S* projection() const { return projection_ ? projection_->template as<S>() : nullptr; }
    const S* peephole() const { return peephole_ ? peephole_->template as<S>() : nullptr; }
    Index bytes() const;
    /// A number made of every bit of such parameters, whose elements have `size` bytes: equal for those that were packed,
    /// as long as nobody writes to them.
    std::uint64_t digest(const ParameterAddresses& parameters, Index size) const;

private:
    Spec spec_;
    const Kernels<S>& kernels_;
    Buffer gates_;
    std::unique_ptr<Buffer> projection_, peephole_;
};

/// The weights of a backward pass, packed anew for each: sets the pointers of `call` into memory that it owns.
template <class S>
class BackwardWeights {
public:
    BackwardWeights(Backward<S>& call, const Kernels<S>& kernels, Index threads);

private:
    struct Matrix {
        const S* from;
        Products products;
        Index rows, columns;
        std::unique_ptr<Buffer> packed;
    };
    const void* add(const S* from, Products products, Index rows, Index columns);
    /// weight_ih with GRU's gates in the kernels' order n, r, z.
    const S* reordered(const S* weight, const Spec& spec);

    const Kernels<S>& kernels_;
    std::vector<Matrix> matrices_;
    std::vector<std::unique_ptr<Buffer>> reordered_;
};

/// A part of a row of the batch: its steps begin … begin + length − 1.
struct Sequence {
    std::int64_t row, begin, length;
};

/// The order of work; owns the arrays that `Schedule` points to.
class Plan {
public:
    /// One sequence in each row. lengths: (B,), each 0 to T; null means T for all.
    Plan(Index time, Index batch, const std::int64_t* lengths);
    /// Given sequences, in the order of rows and of time; of those of a row none but the last is empty.
    Plan(Index time, Index batch, const Sequence* sequences, Index count);
    const Schedule& schedule() const { return schedule_; }
    /// M, the valid steps of all sequences.
    Index all() const { return offset_.back(); }

private:
    std::vector<Index> sequence_, row_, begin_, length_, until_, running_, offset_;
    Schedule schedule_;
};

/// Whether packing so many bytes of weights takes long enough to be shared.
bool is_worth_sharing(Index bytes);

}  // namespace unrolled
