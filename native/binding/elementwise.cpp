#include "elementwise.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <variant>

#include "any_packed.hpp"
#include "driver/elementwise.hpp"
#include "layout.hpp"

namespace nb = nanobind;

namespace unrolled {
namespace {

using Strided = std::array<std::int64_t, 3>;
using States = std::array<std::int64_t, ElementwiseSpec::kMostStates>;

/// Packed weights of either scalar type. weights: the addresses of weight_ih, bias_ih and weight_output.
class AnyElementwise {
public:
    using Addresses = std::array<std::int64_t, 3>;

    AnyElementwise(const ElementwiseSpec& spec, bool is_double, const Addresses& weights, Index biased)
        : held_(is_double ? Held(std::in_place_type<ElementwisePacked<double>>, spec, at<double>(weights, biased))
                          : Held(std::in_place_type<ElementwisePacked<float>>, spec, at<float>(weights, biased))),
          biased_(biased) {}
    template <class S>
    const ElementwisePacked<S>& as() const {
        return std::get<ElementwisePacked<S>>(held_);
    }
    bool is_double() const { return std::holds_alternative<ElementwisePacked<double>>(held_); }
    std::uint64_t digest(const Addresses& weights, Index) const {
        return is_double() ? as<double>().digest(at<double>(weights, biased_))
                           : as<float>().digest(at<float>(weights, biased_));
    }
    Index bytes() const { return is_double() ? as<double>().bytes() : as<float>().bytes(); }

private:
    using Held = std::variant<ElementwisePacked<float>, ElementwisePacked<double>>;

    template <class S>
    static ElementwiseWeights<S> at(const Addresses& a, Index biased) {
        return {unrolled::at<const S>(a[0]), unrolled::at<const S>(a[1]), biased, unrolled::at<const S>(a[2])};
    }

    Held held_;
    Index biased_;
};

template <class S>
Vectors<S> vectors_at(const Strided& v) {
    return {at<const S>(v[0]), v[1], v[2]};
}

template <class S, std::size_t N>
void set(S* (&to)[N], const States& from) {
    for (std::size_t i = 0; i < N; ++i) to[i] = at<S>(from[i]);
}

// nanobind tells types apart by their names, so that those of module.cpp can't be used again here

/// One direction of a forward pass. kept: the addresses of gates and states that training keeps.
struct ElementwiseForwardArgs {
    const AnyElementwise* packed;
    bool reverse;
    Strided vectors;
    States initial, final;
    std::array<std::int64_t, 2> kept;
};

template <class S>
void forward(const std::vector<const ElementwiseForwardArgs*>& directions, const Plan& plan, const Strided& x,
             const Strided& out, Index threads) {
    const ElementwisePacked<S>& first = directions[0]->packed->as<S>();
    ElementwiseForward<S> call;
    call.spec = first.spec();
    call.schedule = plan.schedule();
    call.x = at<const S>(x[0]), call.x_time = x[1], call.x_batch = x[2];
    call.out = at<S>(out[0]), call.out_time = out[1], call.out_batch = out[2];
    call.directions = static_cast<Index>(directions.size());
    for (std::size_t i = 0; i < directions.size(); ++i) {
        const ElementwiseForwardArgs& from = *directions[i];
        ElementwiseForwardDirection<S>& to = call.direction[i];
        to.reverse = from.reverse;
        to.packed = from.packed->as<S>().blocks();
        to.output_packed = from.packed->as<S>().output();
        to.vectors = vectors_at<S>(from.vectors);
        set(to.initial, from.initial), set(to.final, from.final);
        to.column = static_cast<Index>(i) * call.spec.hidden;
        to.gates = at<S>(from.kept[0]), to.kept = at<S>(from.kept[1]);
    }
    run_elementwise_forward(call, first.kernels(), threads);
}

/// One direction of a backward pass. weights: weight_ih, weight_output; scratch: dgates, dcarried, dh, dkept; gradients:
/// of vectors, weight_ih, bias_ih, weight_output.
struct ElementwiseBackwardArgs {
    bool reverse;
    std::array<std::int64_t, 2> weights;
    Strided vectors;
    States initial, dfinal, dinitial;
    std::array<std::int64_t, 2> kept;
    std::array<std::int64_t, 4> scratch, gradients;
};

template <class S>
void backward(const ElementwiseSpec& spec, const std::vector<const ElementwiseBackwardArgs*>& directions,
              const Plan& plan, const Strided& x, const Strided& out, const Strided& dout, const Strided& dx,
              Index threads) {
    ElementwiseBackward<S> call;
    call.spec = spec;
    call.schedule = plan.schedule();
    call.x = at<const S>(x[0]), call.x_time = x[1], call.x_batch = x[2];
    call.out = at<const S>(out[0]), call.out_time = out[1], call.out_batch = out[2];
    call.dout = at<const S>(dout[0]), call.dout_time = dout[1], call.dout_batch = dout[2];
    call.dx = at<S>(dx[0]), call.dx_time = dx[1], call.dx_batch = dx[2];
    call.directions = static_cast<Index>(directions.size());
    for (std::size_t i = 0; i < directions.size(); ++i) {
        const ElementwiseBackwardArgs& from = *directions[i];
        ElementwiseBackwardDirection<S>& to = call.direction[i];
        to.reverse = from.reverse;
        to.weight_ih = at<const S>(from.weights[0]), to.weight_output = at<const S>(from.weights[1]);
        to.vectors = vectors_at<S>(from.vectors);
        set(to.initial, from.initial), set(to.dfinal, from.dfinal), set(to.dinitial, from.dinitial);
        to.column = static_cast<Index>(i) * spec.hidden;
        to.gates = at<const S>(from.kept[0]), to.kept = at<const S>(from.kept[1]);
        to.dgates = at<S>(from.scratch[0]), to.dcarried = at<S>(from.scratch[1]);
        to.dh = at<S>(from.scratch[2]), to.dkept = at<S>(from.scratch[3]);
        to.dvectors = at<S>(from.gradients[0]), to.dweight_ih = at<S>(from.gradients[1]);
        to.dbias_ih = at<S>(from.gradients[2]), to.dweight_output = at<S>(from.gradients[3]);
    }
    run_elementwise_backward(call, kernels_of<S>(variant()), threads);
}

}  // namespace

void bind_elementwise(nb::module_& m) {
    nb::class_<ElementwiseSpec>(m, "ElementwiseSpec")
        .def("__init__", [](ElementwiseSpec* self, int kind, bool carries_input, double highway_scale, Index input,
                            Index hidden) {
            new (self) ElementwiseSpec{static_cast<Recurrence>(kind), carries_input, highway_scale, input, hidden};
        });
    nb::class_<AnyElementwise>(m, "ElementwisePacked")
        .def(nb::init<const ElementwiseSpec&, bool, const AnyElementwise::Addresses&, Index>())
        .def("digest", &AnyElementwise::digest)
        .def_prop_ro("bytes", &AnyElementwise::bytes);
    nb::class_<ElementwiseForwardArgs>(m, "ElementwiseForward")
        .def(
            "__init__",
            [](ElementwiseForwardArgs* self, const AnyElementwise& packed, bool reverse, Strided vectors, States initial,
               States final, std::array<std::int64_t, 2> kept) {
                new (self) ElementwiseForwardArgs{&packed, reverse, vectors, initial, final, kept};
            },
            nb::keep_alive<1, 2>());
    nb::class_<ElementwiseBackwardArgs>(m, "ElementwiseBackward")
        .def("__init__", [](ElementwiseBackwardArgs* self, bool reverse, std::array<std::int64_t, 2> weights, Strided vectors,
                            States initial, States dfinal, States dinitial, std::array<std::int64_t, 2> kept,
                            std::array<std::int64_t, 4> scratch, std::array<std::int64_t, 4> gradients) {
            new (self)
                ElementwiseBackwardArgs{reverse, weights, vectors, initial, dfinal, dinitial, kept, scratch, gradients};
        });
    m.def("elementwise_forward", [](const std::vector<const ElementwiseForwardArgs*>& directions, const Layout& layout,
                                    Strided x, Strided out, Index threads) {
        const nb::gil_scoped_release free;
        const Plan plan = layout.plan();
        if (directions[0]->packed->is_double()) return forward<double>(directions, plan, x, out, threads);
        return forward<float>(directions, plan, x, out, threads);
    });
    m.def("elementwise_backward", [](const ElementwiseSpec& spec, bool is_double,
                                     const std::vector<const ElementwiseBackwardArgs*>& directions,
                                     const Layout& layout, Strided x, Strided out, Strided dout, Strided dx,
                                     Index threads) {
        const nb::gil_scoped_release free;
        const Plan plan = layout.plan();
        if (is_double) return backward<double>(spec, directions, plan, x, out, dout, dx, threads);
        return backward<float>(spec, directions, plan, x, out, dout, dx, threads);
    });
}

}  // namespace unrolled
