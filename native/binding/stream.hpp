// Streams in progress: their states are kept by the engine, and many are stepped in one call.
#pragma once

#include <nanobind/nanobind.h>

namespace unrolled {

/// Adds `Stream` and `step_many` to the module.
void bind_stream(nanobind::module_& m);

}  // namespace unrolled
