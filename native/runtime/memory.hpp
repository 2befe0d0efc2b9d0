// Memory for tensors, packed weights and scratch: aligned to 64 bytes, not initialised.
#pragma once

#include "engine.hpp"

namespace unrolled {

/// Throws std::bad_alloc if there is none. `free_memory` takes it back with the same size.
void* new_memory(Index bytes);
void free_memory(void* memory, Index bytes) noexcept;

}  // namespace unrolled
