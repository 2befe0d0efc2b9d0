// Memory for tensors, packed weights and what a call needs in between: aligned to 64 bytes, not initialised.
#pragma once

#include "engine.hpp"

namespace unrolled {

/// Raises std::bad_alloc where there is none. Given back by `free_memory` with the same size.
void* new_memory(Index bytes);
void free_memory(void* memory, Index bytes) noexcept;

}  // namespace unrolled
