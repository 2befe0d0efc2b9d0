// Which instruction set this process uses.
#pragma once

#include <string>
#include <vector>

#include "engine.hpp"

namespace unrolled {

/// The variants that were compiled in and that this machine can run, widest last.
std::vector<const Variant*> variants();

/// The one in use: the widest, or the one called by the environment variable UNROLLED_CPU, or by `use_variant`.
const Variant& variant();

/// Chooses a variant by name for all later calls; false if there is none of that name here.
bool use_variant(const std::string& name);

}  // namespace unrolled
