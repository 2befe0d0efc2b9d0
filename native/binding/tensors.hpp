// torch's tensors, read and made through Python: what they say of themselves, and DLPack. No torch headers.
#pragma once

#include <nanobind/nanobind.h>

#include "engine.hpp"

namespace unrolled {

namespace nb = nanobind;

/// What is looked up in torch once. Set by `use_torch`; lives as long as the process.
struct Torch {
    nb::object tensor, parameter, float32, float64, int64, from_dlpack, thread_count;
    nb::object dtype, is_cpu, shape, is_contiguous, is_neg, data_ptr, version, requires_grad;  // names

    Index threads() const;
    const nb::object& dtype_of(bool is_double) const { return is_double ? float64 : float32; }
};

void use_torch(nb::object tensor, nb::object parameter, nb::object float32, nb::object float64, nb::object int64,
               nb::object from_dlpack, nb::object thread_count);
/// Null before `use_torch`.
const Torch* torch();

/// A contiguous CPU tensor as kernels see it.
struct TensorView {
    static constexpr Index kMostDimensions = 3;
    Index dimensions = 0;
    Index size[kMostDimensions] = {};
    void* data = nullptr;
};

/// Reads a tensor that can be read as it lies: a plain one of that dtype on the CPU, contiguous, of at most three
/// dimensions. False, without an exception, for whatever else it is; a Parameter only where one may come.
bool read_tensor(nb::handle object, nb::handle dtype, TensorView& view, bool may_be_parameter = false);

/// Whether a tensor takes part in a graph.
bool wants_gradient(nb::handle tensor);

/// The address of a tensor's data, 0 if it has none to tell.
std::int64_t address_of(nb::handle tensor);
/// How often a tensor was written to, −1 if that is not counted.
std::int64_t version_of(nb::handle tensor);

/// A new tensor with memory of its own, not initialised, and the address of its data.
nb::object new_tensor(bool is_double, std::initializer_list<Index> sizes, void*& data);

}  // namespace unrolled
