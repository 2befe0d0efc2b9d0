// The driver: divides the work of a call between threads and calls the kernels.
#pragma once

#include "packed.hpp"

namespace unrolled {

/// Runs a forward pass on up to `threads` threads.
template <class S>
void run_forward(const Forward<S>& call, const Kernels<S>& kernels, Index threads);

/// Runs a backward pass on up to `threads` threads, including the packing of its weights.
template <class S>
void run_backward(Backward<S>& call, Index threads);

/// Runs one step on up to `threads` threads.
template <class S>
void run_step(const Step<S>& call, const Kernels<S>& kernels, Index threads);

/// Multiply-adds of `rows` rows, each one step of one sequence.
double work_of(const Spec& spec, Index rows);

}  // namespace unrolled
