// The driver of elementwise recurrences: packs their weights, and divides the work of a call between threads.
#pragma once

#include <memory>

#include "recurrence.hpp"
#include "packed.hpp"

namespace unrolled {

/// The parameters of one direction that are packed; absent ones are null.
template <class S>
struct ElementwiseWeights {
    const S* weight_ih = nullptr;      // (products·H, I)
    const S* bias_ih = nullptr;        // of the first blocks
    Index biased = 0;                  // how many blocks have a bias
    const S* weight_output = nullptr;  // (H, 2H), where the output is mapped
};

/// One direction's weights as the forward pass reads them. It owns a copy.
template <class S>
class ElementwisePacked {
public:
    ElementwisePacked(const ElementwiseSpec& spec, const ElementwiseWeights<S>& weights);
    const ElementwiseSpec& spec() const { return spec_; }
    const Kernels<S>& kernels() const { return kernels_; }
    const S* blocks() const { return blocks_.template as<S>(); }
    const S* output() const { return output_ ? output_->template as<S>() : nullptr; }
    Index bytes() const { return blocks_.size() + (output_ ? output_->size() : 0); }

    /// A number made of every bit of such parameters.
    std::uint64_t digest(const ElementwiseWeights<S>& weights) const;

private:
    ElementwiseSpec spec_;
    Index biased_;
    const Kernels<S>& kernels_;
    Buffer blocks_;
    std::unique_ptr<Buffer> output_;
};

/// Runs a forward pass on up to `threads` threads.
template <class S>
void run_elementwise_forward(const ElementwiseForward<S>& call, const Kernels<S>& kernels, Index threads);

/// Runs a backward pass on up to `threads` threads.
template <class S>
void run_elementwise_backward(const ElementwiseBackward<S>& call, const Kernels<S>& kernels, Index threads);

}  // namespace unrolled
