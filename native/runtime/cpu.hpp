// The instruction sets: which there are, and which one is in use.
#pragma once

#include <string>
#include <vector>

#include "engine.hpp"

namespace unrolled {

/// The variants that are compiled in and that this machine can run, the widest last.
std::vector<const Variant*> variants();

/// The variant in use: the widest, or the one named by the environment variable UNROLLED_CPU or by `use_variant`.
const Variant& variant();

/// Uses the variant of that name in all later calls. Returns false if there is none.
bool use_variant(const std::string& name);

}  // namespace unrolled
