// torch's tensors, read and made through Python: by their attributes, and by DLPack. No torch headers are needed.
#pragma once

#include <nanobind/nanobind.h>

#include "engine.hpp"
#include "stable_abi.hpp"

namespace unrolled {

namespace nb = nanobind;

/// Objects of torch that are looked up once. Set by `use_torch`; they live as long as the process.
struct Torch {
    nb::object tensor, parameter, float32, float64, int64, from_dlpack, thread_count;
    nb::object dtype, is_cpu, shape, is_contiguous, is_neg, data_ptr, version, requires_grad, was_read, seal;  // names

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

/// Reads a tensor that kernels can read in place: a plain one of that dtype on the CPU, contiguous, of at most three
/// dimensions. Returns false, without an exception, for any other object, for a Parameter unless it may be one, and
/// while torch.jit traces.
bool read_tensor(nb::handle object, nb::handle dtype, TensorView& view, bool may_be_parameter = false);

/// Reads the lengths of a batch: (B,) int64, each 0 to T. Returns false for any other object.
bool read_lengths(nb::handle object, Index time, Index batch, const std::int64_t*& lengths);

/// Whether a tensor requires a gradient.
bool wants_gradient(nb::handle tensor);

/// The address of a tensor's data; −1 if it has none.
std::int64_t address_of(nb::handle tensor);
/// torch's count of writes to a tensor; −1 if it does not count them.
std::int64_t version_of(nb::handle tensor);

/// Whether a table of parameters was read by others since it was sealed; true for a table that does not tell.
bool was_read(nb::handle table);
/// Seals a table: from now on it tells whether it was read. False if somebody may write to its tensors all the same.
bool seal(nb::handle table);

/// Makes a tensor with memory of its own, not initialised, and returns the address of its data, too.
nb::object new_tensor(bool is_double, std::initializer_list<Index> sizes, void*& data);

}  // namespace unrolled
