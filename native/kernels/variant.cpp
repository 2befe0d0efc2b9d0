// All kernels of one instruction set and scalar type. CMakeLists.txt compiles this file once for each.
#include "backward.hpp"
#include "digest.hpp"
#include "forward.hpp"
#include "products_lstm.hpp"
#include "step.hpp"

namespace unrolled::UNROLLED_ISA {

using Scalar = UNROLLED_SCALAR;

extern const ElementwiseKernels<Scalar> UNROLLED_ELEMENTWISE_TABLE;
extern const Kernels<Scalar> UNROLLED_TABLE;
const Kernels<Scalar> UNROLLED_TABLE = {
    [](const Spec& spec) { return with_cell<Scalar>(spec, [&](auto pass) { return decltype(pass)::size(spec); }); },
    [](const Spec& spec, const Parameters<Scalar>& from, void* packed, Index part, Index parts, Scratch& scratch) {
        with_cell<Scalar>(spec,
                          [&](auto pass) { decltype(pass)::pack(spec, from, packed, Share{part, parts}, scratch); });
    },
    [](Products products, Index rows, Index columns) {
        return with_format<Scalar>(
            products, [&](auto format) { return columns_size<Scalar, decltype(format)>(rows, columns); });
    },
    [](Products products, const Scalar* matrix, Index rows, Index columns, void* packed) {
        with_format<Scalar>(products, [&](auto format) {
            pack_columns<Scalar, decltype(format)>(matrix, rows, columns, static_cast<char*>(packed));
        });
    },
    pack_transposed<Scalar>,
    [](const Forward<Scalar>& f, Index direction, Index part, Index parts, Pairing pairing, Scratch& scratch) {
        with_cell<Scalar>(f.spec, [&](auto pass) {
            forward_pass<Scalar>(pass, f, f.direction[direction], part, parts, pairing, scratch);
        });
    },
    [](const Step<Scalar>& step, Index part, Index parts, Scratch& scratch) {
        with_cell<Scalar>(step.spec, [&](auto pass) { step_pass<Scalar>(pass, step, part, parts, scratch); });
    },
    [](const Backward<Scalar>& b, Index direction, Index part, Index parts, Pairing pairing, Scratch& scratch) {
        bptt_pass<Scalar>(b, b.direction[direction], part, parts, pairing, scratch);
    },
    [](const Backward<Scalar>& b, Index part, Index parts, Scratch& scratch) {
        with_format<Scalar>(b.spec.products, [&](auto format) {
            input_gradient<Scalar, decltype(format)>(b, part, parts, scratch);
        });
    },
    weight_gradients<Scalar>,
    digest,
    &UNROLLED_ELEMENTWISE_TABLE,
};

}  // namespace unrolled::UNROLLED_ISA
