#include "tensors.hpp"

#include <new>

#include "runtime/memory.hpp"

namespace unrolled {

namespace {

Torch* known = nullptr;

// DLPack's structs (dlpack.h, version 0), as every torch reads them from a capsule called "dltensor".
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

/// Head and data of a tensor in one block.
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

/// A capsule that nobody took still owns its tensor.
void drop(PyObject* capsule) {
    if (!PyCapsule_IsValid(capsule, "dltensor")) return;
    auto* managed = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule, "dltensor"));
    managed->deleter(managed);
}

bool is_true(nb::handle object, const nb::object& method) {
    PyObject* found = PyObject_CallMethodNoArgs(object.ptr(), method.ptr());
    if (found == nullptr) return PyErr_Clear(), false;
    Py_DECREF(found);
    return found == Py_True;
}

std::int64_t number(PyObject* found) {
    if (found == nullptr) return PyErr_Clear(), -1;
    const std::int64_t value = PyLong_AsLongLong(found);
    Py_DECREF(found);
    if (value == -1 && PyErr_Occurred()) PyErr_Clear();
    return value;
}

nb::object name(const char* text) { return nb::steal(PyUnicode_InternFromString(text)); }

}  // namespace

Index Torch::threads() const { return number(PyObject_CallNoArgs(thread_count.ptr())); }

void use_torch(nb::object tensor, nb::object parameter, nb::object float32, nb::object float64, nb::object int64,
               nb::object from_dlpack, nb::object thread_count) {
    known = new Torch{tensor,
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
                      name("requires_grad")};
}

const Torch* torch() { return known; }

bool read_tensor(nb::handle object, nb::handle dtype, TensorView& view, bool may_be_parameter) {
    const Torch& t = *known;
    const PyObject* type = object.type().ptr();
    if (type != t.tensor.ptr() && !(may_be_parameter && type == t.parameter.ptr())) return false;
    const auto is = [&](const nb::object& attribute, nb::handle wanted) {
        PyObject* found = PyObject_GetAttr(object.ptr(), attribute.ptr());
        if (found == nullptr) return PyErr_Clear(), false;
        Py_DECREF(found);
        return found == wanted.ptr();
    };
    if (!is(t.dtype, dtype) || !is(t.is_cpu, Py_True)) return false;
    if (!is_true(object, t.is_contiguous) || is_true(object, t.is_neg)) return false;
    PyObject* shape = PyObject_GetAttr(object.ptr(), t.shape.ptr());
    if (shape == nullptr) return PyErr_Clear(), false;
    const bool fits = PyTuple_Check(shape) && PyTuple_GET_SIZE(shape) <= TensorView::kMostDimensions;
    view.dimensions = fits ? PyTuple_GET_SIZE(shape) : 0;
    for (Index i = 0; i < view.dimensions; ++i) view.size[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(shape, i));
    Py_DECREF(shape);
    if (!fits) return false;
    // a tensor that a transform wraps has no address: its call raises, and leaves −1
    const std::int64_t address = address_of(object);
    view.data = reinterpret_cast<void*>(address);
    return address != -1;
}

bool wants_gradient(nb::handle tensor) {
    PyObject* found = PyObject_GetAttr(tensor.ptr(), known->requires_grad.ptr());
    if (found == nullptr) return PyErr_Clear(), true;
    Py_DECREF(found);
    return found != Py_False;
}

std::int64_t address_of(nb::handle tensor) {
    return number(PyObject_CallMethodNoArgs(tensor.ptr(), known->data_ptr.ptr()));
}

std::int64_t version_of(nb::handle tensor) { return number(PyObject_GetAttr(tensor.ptr(), known->version.ptr())); }

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
    PyObject* made = PyObject_CallOneArg(known->from_dlpack.ptr(), capsule);
    Py_DECREF(capsule);
    if (made == nullptr) nb::raise_python_error();
    return nb::steal(made);
}

}  // namespace unrolled
