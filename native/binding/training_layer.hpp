// One layer in training: its passes read the tensors of each call, pack the weights and make the results.
#pragma once

#include <nanobind/nanobind.h>

namespace unrolled {

/// Adds `TrainingLayer` to the module.
void bind_training_layer(nanobind::module_& m);

}  // namespace unrolled
