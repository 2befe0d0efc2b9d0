// All kernels for one instruction set and one scalar type; CMakeLists.txt compiles this file once for each.
#include "backward.hpp"
#include "forward.hpp"
#include "products_lstm.hpp"
#include "step.hpp"

namespace unrolled::UNROLLED_ISA {

using Scalar = UNROLLED_SCALAR;

extern const Kernels<Scalar> UNROLLED_TABLE;
const Kernels<Scalar> UNROLLED_TABLE = {
    [](const Spec& spec) {
        return with_cell(spec, [&](auto pass) { return decltype(pass)::template size<Scalar>(spec); });
    },
    [](const Spec& spec, const Parameters<Scalar>& from, Scalar* packed) {
        with_cell(spec, [&](auto pass) { decltype(pass)::template pack<Scalar>(spec, from, packed); });
    },
    columns_size<Scalar>,
    pack_columns<Scalar>,
    pack_transposed<Scalar>,
    [](const Forward<Scalar>& f, Index direction, Index part, Index parts, Scratch& scratch) {
        with_cell(f.spec,
                  [&](auto pass) { forward_pass<Scalar>(pass, f, f.direction[direction], part, parts, scratch); });
    },
    [](const Step<Scalar>& step, Index part, Index parts, Scratch& scratch) {
        with_cell(step.spec, [&](auto pass) { step_pass<Scalar>(pass, step, part, parts, scratch); });
    },
    [](const Backward<Scalar>& b, Index direction, Index part, Index parts, Scratch& scratch) {
        bptt_pass<Scalar>(b, b.direction[direction], part, parts, scratch);
    },
    input_gradient<Scalar>,
    weight_gradients<Scalar>,
};

}  // namespace unrolled::UNROLLED_ISA
