// Jobs in parts, as they are handed from thread to thread: void job(void* data, Index part).
#pragma once

#include <type_traits>

#include "engine.hpp"

namespace unrolled {

/// A part of the function object that `data` points to.
template <class F>
void do_part(void* data, Index part) {
    (*static_cast<std::remove_reference_t<F>*>(data))(part);
}

}  // namespace unrolled
