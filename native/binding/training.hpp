// A layer made ready for training, for sequences that are too short to be checked at leisure.
#pragma once

#include <nanobind/nanobind.h>

namespace unrolled {

/// Adds `Training` to the module.
void bind_training(nanobind::module_& m);

}  // namespace unrolled
