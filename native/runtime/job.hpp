// Jobs in parts, as threads hand them to each other: void job(void* data, Index part).
#pragma once

#include <type_traits>

#include "engine.hpp"

namespace unrolled {

/// Runs one part by the function object that `data` points to.
template <class F>
void do_part(void* data, Index part) {
    (*static_cast<std::remove_reference_t<F>*>(data))(part);
}

}  // namespace unrolled
