#include "tensors.hpp"

#include <algorithm>
#include <new>

#include "runtime/memory.hpp"

namespace unrolled {

namespace {

Torch* loaded = nullptr;

// DLPack's structs (dlpack.h, version 0), which every torch reads from a capsule named "dltensor".
struct DLTensor {
    void* data;
    std::int32_t device_type, device_id;
    std::int32_t ndim;
    std::uint8_t code, bits;
    std::uint16_t lanes;
    std::int64_t* shape;
    std::int64_t* strides;
    std::uint64_t byte_offset;
};
struct DLManagedTensor {
    DLTensor tensor;
    void* context;
    void (*deleter)(DLManagedTensor*);
};

/// The header and the data of a tensor in one block.
struct alignas(64) Block {
    DLManagedTensor managed;
    std::int64_t shape[TensorView::kMostDimensions], strides[TensorView::kMostDimensions];
    Index bytes;
    void* data() { return this + 1; }
    static void free(DLManagedTensor* managed) {
        auto* block = static_cast<Block*>(managed->context);
        free_memory(block, block->bytes);
    }
};

/// Frees the tensor of a capsule that was not consumed.
void drop(PyObject* capsule) {
    if (!PyCapsule_IsValid(capsule, "dltensor")) return;
    auto* managed = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule, "dltensor"));
    managed->deleter(managed);
}

/// Whether a method returns True.
bool is_true(nb::handle object, const nb::object& method) {
    PyObject* result = PyObject_CallMethodNoArgs(object.ptr(), method.ptr());
    if (result == nullptr) return PyErr_Clear(), false;
    Py_DECREF(result);
    return result == Py_True;
}

/// A Python integer, which it consumes, as a number; −1 if a call failed.
std::int64_t number(PyObject* integer) {
    if (integer == nullptr) return PyErr_Clear(), -1;
    const std::int64_t value = PyLong_AsLongLong(integer);
    Py_DECREF(integer);
    if (value == -1 && PyErr_Occurred()) PyErr_Clear();
    return value;
}

nb::object name(const char* text) { return nb::steal(PyUnicode_InternFromString(text)); }

}  // namespace

Index Torch::threads() const { return number(PyObject_CallNoArgs(thread_count.ptr())); }

void use_torch(nb::object tensor, nb::object parameter, nb::object float32, nb::object float64, nb::object int64,
               nb::object from_dlpack, nb::object thread_count) {
    loaded = new Torch{tensor,
                       parameter,
                       float32,
                       float64,
                       int64,
                       from_dlpack,
                       thread_count,
                       name("dtype"),
                       name("is_cpu"),
                       name("shape"),
                       name("is_contiguous"),
                       name("is_neg"),
                       name("data_ptr"),
                       name("_version"),
                       name("requires_grad"),
                       name("was_read"),
                       name("seal")};
}

const Torch* torch() { return loaded; }

bool read_tensor(nb::handle object, nb::handle dtype, TensorView& view, bool may_be_parameter) {
    const Torch& t = *loaded;
    const PyObject* type = object.type().ptr();
    if (type != t.tensor.ptr() && !(may_be_parameter && type == t.parameter.ptr())) return false;
    const auto is = [&](const nb::object& attribute, nb::handle wanted) {
        PyObject* value = PyObject_GetAttr(object.ptr(), attribute.ptr());
        if (value == nullptr) return PyErr_Clear(), false;
        Py_DECREF(value);
        return value == wanted.ptr();
    };
    if (!is(t.dtype, dtype) || !is(t.is_cpu, Py_True)) return false;
    if (!is_true(object, t.is_contiguous) || is_true(object, t.is_neg)) return false;
    PyObject* shape = PyObject_GetAttr(object.ptr(), t.shape.ptr());
    if (shape == nullptr) return PyErr_Clear(), false;
    const bool fits = PyTuple_Check(shape) && PyTuple_GET_SIZE(shape) <= TensorView::kMostDimensions;
    view.dimensions = fits ? PyTuple_GET_SIZE(shape) : 0;
    bool is_traced = false;
    for (Index i = 0; i < view.dimensions; ++i) {
        PyObject* size = PyTuple_GET_ITEM(shape, i);
        is_traced = is_traced || !PyLong_CheckExact(size);
        view.size[i] = is_traced ? 0 : PyLong_AsLongLong(size);
    }
    Py_DECREF(shape);
    // while torch.jit traces, sizes are tensors
    if (!fits || is_traced) return false;
    // a tensor that a transform wraps has no address: data_ptr raises
    const std::int64_t address = address_of(object);
    view.data = reinterpret_cast<void*>(address);
    return address != -1;
}

bool read_lengths(nb::handle object, Index time, Index batch, const std::int64_t*& lengths) {
    TensorView view;
    if (!read_tensor(object, loaded->int64, view) || view.dimensions != 1 || view.size[0] != batch) return false;
    lengths = static_cast<const std::int64_t*>(view.data);
    return std::all_of(lengths, lengths + batch, [&](std::int64_t length) { return length >= 0 && length <= time; });
}

bool wants_gradient(nb::handle tensor) {
    PyObject* value = PyObject_GetAttr(tensor.ptr(), loaded->requires_grad.ptr());
    if (value == nullptr) return PyErr_Clear(), true;
    Py_DECREF(value);
    return value != Py_False;
}

std::int64_t address_of(nb::handle tensor) {
    return number(PyObject_CallMethodNoArgs(tensor.ptr(), loaded->data_ptr.ptr()));
}

std::int64_t version_of(nb::handle tensor) { return number(PyObject_GetAttr(tensor.ptr(), loaded->version.ptr())); }

bool was_read(nb::handle table) {
    PyObject* value = PyObject_GetAttr(table.ptr(), loaded->was_read.ptr());
    if (value == nullptr) return PyErr_Clear(), true;
    Py_DECREF(value);
    return value != Py_False;
}

bool seal(nb::handle table) { return is_true(table, loaded->seal); }

nb::object new_tensor(bool is_double, std::initializer_list<Index> sizes, void*& data) {
    Index count = 1;
    for (Index size : sizes) count *= size;
    const Index bytes = static_cast<Index>(sizeof(Block)) + count * (is_double ? 8 : 4);
    Block* block = new (new_memory(bytes)) Block;
    block->bytes = bytes;
    Index stride = count, at = 0;
    for (Index size : sizes) {
        stride = size > 0 ? stride / size : 1;
        block->shape[at] = size;
        block->strides[at++] = stride;
    }
    constexpr std::int32_t cpu = 1;
    constexpr std::uint8_t floating = 2;
    const std::uint8_t bits = is_double ? 64 : 32;
    block->managed = {{block->data(), cpu, 0, static_cast<std::int32_t>(sizes.size()), floating, bits, 1, block->shape,
                       block->strides, 0},
                      block,
                      &Block::free};
    data = block->data();
    PyObject* capsule = PyCapsule_New(&block->managed, "dltensor", drop);
    if (capsule == nullptr) Block::free(&block->managed), nb::raise_python_error();
    PyObject* made = PyObject_CallOneArg(loaded->from_dlpack.ptr(), capsule);
    Py_DECREF(capsule);
    if (made == nullptr) nb::raise_python_error();
    return nb::steal(made);
}

}  // namespace unrolled
