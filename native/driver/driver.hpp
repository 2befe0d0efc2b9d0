// What stands between the binding and the kernels: packed weights, the order of work, and who does which part.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <vector>

#include "runtime/cpu.hpp"
#include "engine.hpp"
#include "runtime/memory.hpp"

namespace unrolled {

/// Aligned memory that is not initialised.
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

/// One direction's weights as the forward pass reads them: a copy, which later changes of the parameters don't reach.
template <class S>
class Packed {
public:
    /// `threads` is the most that may be used for it.
    Packed(const Spec& spec, const Parameters<S>& parameters, Index threads = 1);
    const Spec& spec() const { return spec_; }
    const Kernels<S>& kernels() const { return kernels_; }
    const void* gates() const { return gates_.template as<void>(); }
    const S* projection() const { return projection_ ? projection_->template as<S>() : nullptr; }
    const S* peephole() const { return peephole_ ? peephole_->template as<S>() : nullptr; }
    Index bytes() const;
    /// Whether the parameters still look as they did when they were packed: a few elements of each are compared, which
    /// notices any ordinary update, but not a write to single elements.
    bool matches(const Parameters<S>& parameters) const { return fingerprint(spec_, parameters) == fingerprint_; }

private:
    static std::uint64_t fingerprint(const Spec& spec, const Parameters<S>& parameters);

    std::uint64_t fingerprint_;
    Spec spec_;
    const Kernels<S>& kernels_;
    Buffer gates_;
    std::unique_ptr<Buffer> projection_, peephole_;
};

/// The order of work for given lengths; owns what `Schedule` points to.
class Plan {
public:
    /// lengths: (B,), each 0 to T; null means T for all.
    Plan(Index time, Index batch, const std::int64_t* lengths);
    const Schedule& schedule() const { return schedule_; }
    Index all() const { return offset_.back(); }

private:
    std::vector<Index> row_, length_, running_, offset_;
    Schedule schedule_;
};

/// Runs a forward pass; `threads` is the most that may be used.
template <class S>
void run_forward(const Forward<S>& call, const Kernels<S>& kernels, Index threads);

/// Runs a backward pass, the packing of its weights included.
template <class S>
void run_backward(Backward<S>& call, Index threads);

/// Multiply-adds of so many rows.
double work_of(const Spec& spec, Index rows);

/// Runs one step.
template <class S>
void run_step(const Step<S>& call, const Kernels<S>& kernels, Index threads);

}  // namespace unrolled
