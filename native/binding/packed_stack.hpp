// The packed weights of a stack of layers: single steps and whole sequences without a graph, in one call from Python.
#pragma once

#include <nanobind/nanobind.h>

#include <array>
#include <vector>

#include "any_packed.hpp"
#include "driver/stack.hpp"
#include "tensors.hpp"
#include "tuning.hpp"

namespace unrolled {

/// Runs a job; releases the GIL if its `work`, in multiply-adds, is long enough for that.
template <class F>
void run_without_gil(double work, F&& job) {
    if (work < tuning::kMinWorkToReleaseGil) return job();
    const nb::gil_scoped_release released;
    job();
}

/// The packed weights of a stack, and what tells whether they are still its weights. It owns the packed copies; the
/// tensors of a call are borrowed until it returns, and results are new tensors. Every call returns None, having done
/// nothing, if a tensor is not what it serves (a plain contiguous one on the CPU, of the right type and shape), or if
/// the weights have changed.
class PackedStack {
public:
    /// digests: of what was packed. parameters: the layer's own table, which every call looks into. watched: (name,
    /// tensor, block, slot) for each parameter: which of `packed` holds it, and as which of the kernels' parameters.
    /// flags: batch_first, residual, zero_start.
    PackedStack(const std::vector<const AnyPacked*>& packed, const std::vector<std::uint64_t>& digests,
                const nb::dict& parameters, const nb::list& watched, std::array<bool, 3> flags, Index directions);

    bool is_double() const { return is_double_; }
    const nb::object& dtype() const { return torch()->dtype_of(is_double_); }
    /// The layers, of which a stack of two directions has two each.
    template <class S>
    const Stack<S>& stack() const {
        if constexpr (sizeof(S) == sizeof(double))
            return doubles_;
        else
            return floats_;
    }
    Index blocks() const { return static_cast<Index>(packed_.size()); }

    /// Makes it stale for good, with all streams that use it.
    void expire() {
        is_expired_ = true;
        watched_.clear();
    }
    /// Whether the layer's parameters are what was packed: the same objects, unwritten by torch's count, and with the
    /// same bits. The bits are compared only while somebody else may write to them unnoticed.
    bool is_current() const;

    /// One step: x (B, I) and the states give the output (B, P) and new states.
    nb::object step(nb::handle x, nb::handle state) const {
        return is_double_ ? step_as<double>(x, state) : step_as<float>(x, state);
    }
    /// A whole batch of sequences: x (T, B, I), or (B, T, I) if batch_first.
    nb::object infer(nb::handle x, nb::handle state, nb::handle lengths) const {
        return is_double_ ? infer_as<double>(x, state, lengths) : infer_as<float>(x, state, lengths);
    }

    /// Reads given states, (L·D, B, size) each. False if they are not as they should be.
    template <class S>
    bool read_states(nb::handle state, Index batch, const S*& h, const S*& c) const;
    /// Makes tensors for states, as the layer returns them: h, or (h, c).
    template <class S>
    nb::object new_states(Index batch, S*& h, S*& c) const;

private:
    struct Sequence;
    /// Compares counts, addresses and bits.
    bool compare() const;
    /// One parameter as it was when it was packed.
    struct Watched {
        nb::object name, tensor;
        std::int64_t version, address;
        std::size_t block, slot;
    };

    template <class S>
    void fill(Stack<S>& stack) {
        for (const AnyPacked& packed : packed_) stack.layers.push_back(packed.shared<S>());
        stack.residual = is_residual_;
    }
    /// Reads the states, or sets both to zeros where the layer starts from zeros.
    template <class S>
    bool initial_states(nb::handle state, Index batch, std::vector<S>& zeros, const S*& h, const S*& c) const;
    template <class S>
    nb::object step_as(nb::handle x, nb::handle state) const;
    template <class S>
    nb::object infer_as(nb::handle x, nb::handle state, nb::handle lengths) const;
    template <class S>
    void run_layers(const Sequence& sequence, const S* h_0, const S* c_0, S* h_n, S* c_n, Index threads) const;
    bool read_sequence(nb::handle x, nb::handle lengths, Index input, Sequence& sequence) const;

    nb::dict parameters_;
    bool is_double_, is_batch_first_, is_residual_, starts_at_zero_, is_expired_ = false;
    /// Whether nobody but the table and this object held a parameter, or shared its memory, when the bits were compared.
    /// It holds until the table is read.
    mutable bool is_sealed_ = false;
    Index layers_, directions_;
    std::vector<AnyPacked> packed_;
    std::vector<std::uint64_t> digests_;
    std::vector<Watched> watched_;
    Stack<float> floats_;
    Stack<double> doubles_;
};

/// Adds `Packed` and `PackedStack` to the module.
void bind_packed_stack(nb::module_& m);

}  // namespace unrolled
