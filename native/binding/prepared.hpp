// A stack of layers made ready once, for calls that are too short to be checked at leisure.
#pragma once

#include <nanobind/nanobind.h>

namespace unrolled {

/// Adds `Prepared` and `Stream` to the module.
void bind_prepared(nanobind::module_& m);

}  // namespace unrolled
