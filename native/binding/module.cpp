// The Python module. `forward` and `backward` take addresses and sizes, and check nothing: their one caller,
// src/unrolled/kernels/native/engine.py, does, and keeps every tensor alive during a call. They release the GIL. The
// classes PackedStack, Stream and TrainingLayer read tensors themselves.
#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <array>

#include "any_packed.hpp"
#include "driver/ceiling.hpp"
#include "elementwise.hpp"
#include "layout.hpp"
#include "packed_stack.hpp"
#include "runtime/threads.hpp"
#include "stream.hpp"
#include "tensors.hpp"
#include "training_layer.hpp"

namespace nb = nanobind;

namespace unrolled {
namespace {

/// An array (T, B, ·): its address, and the strides of T and B in elements.
using Strided = std::array<std::int64_t, 3>;

/// The addresses of recurrent, keep_h and keep_c, and the two probabilities of evaluation.
struct Masks {
    std::array<std::int64_t, 3> addresses{};
    double rate_h = 0, rate_c = 0;
    template <class S>
    Regularisers<S> as() const {
        return {at<const S>(addresses[0]), at<const std::uint8_t>(addresses[1]), at<const std::uint8_t>(addresses[2]),
                static_cast<S>(rate_h), static_cast<S>(rate_c)};
    }
};

/// One direction of a forward pass: h_0, c_0, h_n, c_n, saved_gates, saved_cells.
struct ForwardArgs {
    const AnyPacked* packed;
    bool reverse;
    std::array<std::int64_t, 6> addresses;
    Masks masks;
};

template <class S>
void forward(const std::vector<const ForwardArgs*>& directions, const Plan& plan, const Strided& x, const Strided& out,
             Index threads) {
    Forward<S> call;
    call.spec = directions[0]->packed->as<S>().spec();
    call.schedule = plan.schedule();
    call.x = at<const S>(x[0]), call.x_time = x[1], call.x_batch = x[2];
    call.out = at<S>(out[0]), call.out_time = out[1], call.out_batch = out[2];
    call.directions = static_cast<Index>(directions.size());
    for (std::size_t i = 0; i < directions.size(); ++i) {
        const ForwardArgs& from = *directions[i];
        const Packed<S>& packed = from.packed->as<S>();
        ForwardDirection<S>& to = call.direction[i];
        to.reverse = from.reverse;
        to.gates_packed = packed.gates();
        to.projection_packed = packed.projection();
        to.peephole = packed.peephole();
        to.h_0 = at<const S>(from.addresses[0]), to.c_0 = at<const S>(from.addresses[1]);
        to.h_n = at<S>(from.addresses[2]), to.c_n = at<S>(from.addresses[3]);
        to.saved_gates = at<S>(from.addresses[4]), to.saved_cells = at<S>(from.addresses[5]);
        to.column = static_cast<Index>(i) * call.spec.output;
        to.masks = from.masks.as<S>();
    }
    run_forward(call, directions[0]->packed->as<S>().kernels(), threads);
}

/// One direction of a backward pass: h_0, c_0, saved_gates, saved_cells, dh_n, dc_n, dgates, dh, dh_0, dc_0.
struct BackwardArgs {
    bool reverse;
    ParameterAddresses parameters, gradients;
    std::array<std::int64_t, 10> addresses;
    Masks masks;
};

template <class S>
void backward(const Spec& spec, const std::vector<const BackwardArgs*>& directions, const Plan& plan, const Strided& x,
              const Strided& out, const Strided& dout, const Strided& dx, Index threads) {
    Backward<S> call;
    call.spec = spec;
    call.schedule = plan.schedule();
    call.x = at<const S>(x[0]), call.x_time = x[1], call.x_batch = x[2];
    call.out = at<const S>(out[0]), call.out_time = out[1], call.out_batch = out[2];
    call.dout = at<const S>(dout[0]), call.dout_time = dout[1], call.dout_batch = dout[2];
    call.dx = at<S>(dx[0]), call.dx_time = dx[1], call.dx_batch = dx[2];
    call.directions = static_cast<Index>(directions.size());
    for (std::size_t i = 0; i < directions.size(); ++i) {
        const BackwardArgs& from = *directions[i];
        BackwardDirection<S>& to = call.direction[i];
        to.reverse = from.reverse;
        to.parameters = parameters_at<S>(from.parameters);
        const auto& a = from.addresses;
        to.h_0 = at<const S>(a[0]), to.c_0 = at<const S>(a[1]);
        to.saved_gates = at<const S>(a[2]), to.saved_cells = at<const S>(a[3]);
        to.dh_n = at<const S>(a[4]), to.dc_n = at<const S>(a[5]);
        to.dgates = at<S>(a[6]), to.dh = at<S>(a[7]), to.dh_0 = at<S>(a[8]), to.dc_0 = at<S>(a[9]);
        const auto& g = from.gradients;
        to.dweight_ih = at<S>(g[0]), to.dweight_hh = at<S>(g[1]), to.dbias_ih = at<S>(g[2]), to.dbias_hh = at<S>(g[3]);
        to.dweight_hr = at<S>(g[4]), to.dweight_peephole = at<S>(g[5]);
        to.column = static_cast<Index>(i) * spec.output;
        to.masks = from.masks.as<S>();
    }
    run_backward(call, threads);
}

/// Adds `forward` and `backward` and their arguments to the module.
void bind_passes(nb::module_& m) {
    nb::class_<Layout>(m, "Layout")
        .def("__init__", [](Layout* self, Index time, Index batch, std::int64_t lengths, std::int64_t documents,
                            Index count) { new (self) Layout{time, batch, lengths, documents, count}; });
    nb::class_<Masks>(m, "Masks")
        .def("__init__", [](Masks* self, std::array<std::int64_t, 3> addresses, double rate_h, double rate_c) {
            new (self) Masks{addresses, rate_h, rate_c};
        });
    nb::class_<ForwardArgs>(m, "ForwardDirection")
        .def(
            "__init__",
            [](ForwardArgs* self, const AnyPacked& packed, bool reverse, std::array<std::int64_t, 6> addresses,
               const Masks& masks) { new (self) ForwardArgs{&packed, reverse, addresses, masks}; },
            nb::keep_alive<1, 2>());
    nb::class_<BackwardArgs>(m, "BackwardDirection")
        .def("__init__", [](BackwardArgs* self, bool reverse, ParameterAddresses parameters,
                            ParameterAddresses gradients, std::array<std::int64_t, 10> addresses, const Masks& masks) {
            new (self) BackwardArgs{reverse, parameters, gradients, addresses, masks};
        });

    m.def("forward",
          [](const std::vector<const ForwardArgs*>& directions, const Layout& layout, Strided x, Strided out,
             Index threads) {
              const nb::gil_scoped_release free;
              const Plan plan = layout.plan();
              if (directions[0]->packed->is_double()) return forward<double>(directions, plan, x, out, threads);
              return forward<float>(directions, plan, x, out, threads);
          });
    m.def("backward", [](const Spec& spec, bool is_double, const std::vector<const BackwardArgs*>& directions,
                         const Layout& layout, Strided x, Strided out, Strided dout, Strided dx, Index threads) {
        const nb::gil_scoped_release free;
        const Plan plan = layout.plan();
        if (is_double) return backward<double>(spec, directions, plan, x, out, dout, dx, threads);
        return backward<float>(spec, directions, plan, x, out, dout, dx, threads);
    });
}

}  // namespace

NB_MODULE(_native, m) {
    // a graph that still exists at the end of the process holds what its backward pass needs
    nb::set_leak_warnings(false);
    // forks are noticed from here on
    was_forked();
    m.doc() = "The native engine: see native/ in the sources. For unrolled.kernels.native only.";

    nb::class_<Spec>(m, "Spec").def(
        "__init__", [](Spec* self, int kind, int nonlinearity, bool coupled, bool peephole, bool reset_after,
                       int products, Index input, Index hidden, Index output) {
            new (self) Spec{static_cast<Kind>(kind),
                            static_cast<Nonlinearity>(nonlinearity),
                            coupled,
                            peephole,
                            reset_after,
                            static_cast<Products>(products),
                            input,
                            hidden,
                            output};
        });
    bind_packed_stack(m);
    bind_stream(m);
    bind_training_layer(m);
    bind_passes(m);
    bind_elementwise(m);
    m.def("multiply_adds", [](int factor, Index rounds, Index threads) {
        const nb::gil_scoped_release free;
        return probe_multiply_adds(static_cast<Factor>(factor), rounds, threads);
    });
    m.def("read", [](std::int64_t address, Index bytes, Index rounds, Index threads) {
        const nb::gil_scoped_release free;
        probe_reads(at<const void>(address), bytes, rounds, threads);
    });
    m.def("use_torch", &use_torch);
    m.def("variants", [] {
        std::vector<std::string> names;
        for (const Variant* v : variants()) names.emplace_back(v->name);
        return names;
    });
    m.def("variant", [] { return std::string(variant().name); });
    m.def("use_variant", &use_variant);
    m.def("why_single", [] {
        const char* reason = why_single();
        return std::string(reason == nullptr ? "" : reason);
    });
}

}  // namespace unrolled
