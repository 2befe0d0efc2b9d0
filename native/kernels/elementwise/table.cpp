// The elementwise kernels of one instruction set and scalar type. CMakeLists.txt compiles this file once for each.
#include "kernels/elementwise/backward.hpp"

namespace unrolled::UNROLLED_ISA {

using Scalar = UNROLLED_SCALAR;

extern const ElementwiseKernels<Scalar> UNROLLED_ELEMENTWISE_TABLE;
const ElementwiseKernels<Scalar> UNROLLED_ELEMENTWISE_TABLE = {
    blocks_size<Scalar>, pack_blocks<Scalar>, panels_of<Scalar>, elementwise_forward<Scalar>,
    map_output<Scalar>,  gather_dh<Scalar>,   elementwise_bptt<Scalar>, add_carried<Scalar>,
};

}  // namespace unrolled::UNROLLED_ISA
