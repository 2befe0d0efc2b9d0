// Elementwise recurrences for Python, by addresses and sizes; as `forward` and `backward` of module.cpp.
#pragma once

#include <nanobind/nanobind.h>

namespace unrolled {

void bind_elementwise(nanobind::module_& m);

}  // namespace unrolled
