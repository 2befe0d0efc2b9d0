// The few functions of Python that a build for the stable ABI (Python 3.12 and later) has only in another form.
#pragma once

#include <nanobind/nanobind.h>

#ifdef Py_LIMITED_API

#define PyTuple_GET_SIZE PyTuple_Size
#define PyTuple_GET_ITEM PyTuple_GetItem

inline PyObject* PyObject_CallOneArg(PyObject* callable, PyObject* argument) {
    // the place before the arguments is the callee's to write in
    PyObject* arguments[] = {nullptr, argument};
    return PyObject_Vectorcall(callable, arguments + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
}

inline PyObject* PyObject_CallMethodNoArgs(PyObject* object, PyObject* name) {
    PyObject* arguments[] = {nullptr, object};
    return PyObject_VectorcallMethod(name, arguments + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
}

#endif
