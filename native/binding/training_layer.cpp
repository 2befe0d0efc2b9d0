#include "training_layer.hpp"

#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "any_packed.hpp"
#include "tensors.hpp"

namespace unrolled {
namespace {

/// The tensors of one call, read anew for each, since an optimiser may have replaced them.
struct Inputs {
    TensorView x, h_0, c_0;
    const std::int64_t* lengths = nullptr;
    std::vector<TensorView> parameters;  // of each direction in turn
    Index time = 0, batch = 0;
};

/// The tensors of a backward pass besides.
struct Arriving {
    TensorView out, dout, dh_n, dc_n;
    std::array<TensorView, 4> saved;
};

/// New tensors, in the order in which Python takes them, and the addresses of their data.
class Results {
public:
    explicit Results(bool is_double) : is_double_(is_double) {}
    void* add(std::initializer_list<Index> sizes) {
        void* data = nullptr;
        tensors_.append(new_tensor(is_double_, sizes, data));
        return data;
    }
    /// Like `view`, or None and null.
    void* add_like(const TensorView& view, bool is_wanted) {
        const Index* n = view.size;
        if (!is_wanted) return tensors_.append(nb::none()), nullptr;
        if (view.dimensions == 1) return add({n[0]});
        return view.dimensions == 2 ? add({n[0], n[1]}) : add({n[0], n[1], n[2]});
    }
    nb::object tuple() const { return nb::tuple(tensors_); }

private:
    bool is_double_;
    nb::list tensors_;
};

/// Addresses of the gradients that a backward pass writes; null where they are not wanted.
struct GradientAddresses {
    void* dx = nullptr;
    std::array<void*, 2> dinitial{};
    std::vector<void*> parameters;
};

/// One layer, its directions together: a forward pass that keeps what the backward pass needs, and that backward pass.
/// It owns nothing of a call: tensors are borrowed until it returns, results are new tensors. Both return None, having
/// done nothing, if a tensor is not as it should be: a plain contiguous one on the CPU.
class TrainingLayer {
public:
    /// `slots`: which of the kernels' parameters a direction's parameters are, in their order.
    TrainingLayer(const Spec& spec, bool is_double, Index directions, bool batch_first, const std::vector<Index>& slots)
        : spec_(spec), is_double_(is_double), directions_(directions), batch_first_(batch_first), slots_(slots) {}

    /// Returns the output, the final states (D, B, ·), and what is kept: the gates, if any, and the cells of each
    /// direction. False if no tensor requires a gradient.
    nb::object forward(nb::handle x, const nb::tuple& state, nb::handle lengths, const nb::tuple& parameters) const {
        Inputs in;
        if (!read_inputs(x, state, lengths, parameters, in)) return nb::none();
        const auto in_graph = [](nb::handle tensor) { return wants_gradient(tensor); };
        if (!in_graph(x) && std::none_of(state.begin(), state.end(), in_graph) &&
            std::none_of(parameters.begin(), parameters.end(), in_graph))
            return nb::bool_(false);
        return is_double_ ? forward_as<double>(in) : forward_as<float>(in);
    }

    /// Returns the gradients of x, of the given states and of the parameters, None where not `needed`.
    nb::object backward(nb::handle x, const nb::tuple& state, nb::handle lengths, const nb::tuple& parameters,
                        nb::handle output, const nb::tuple& kept, nb::handle doutput, const nb::tuple& dstates,
                        const nb::tuple& needed) const {
        Inputs in;
        Arriving arriving;
        if (!read_inputs(x, state, lengths, parameters, in)) return nb::none();
        const Plan plan(in.time, in.batch, in.lengths);
        if (!read_arriving(in, plan, output, kept, doutput, dstates, arriving)) return nb::none();
        std::size_t place = 0;
        const auto is_wanted = [&] { return nb::cast<bool>(needed[place++]); };
        Results results(is_double_);
        GradientAddresses to;
        to.dx = results.add_like(in.x, is_wanted());
        for (std::size_t i = 0; i < state.size(); ++i)
            to.dinitial[i] = results.add_like(i == 0 ? in.h_0 : in.c_0, is_wanted());
        for (const TensorView& parameter : in.parameters)
            to.parameters.push_back(results.add_like(parameter, is_wanted()));
        const Index threads = torch()->threads();
        {
            const nb::gil_scoped_release released;
            if (is_double_) {
                run_backward_as<double>(in, arriving, plan, to, threads);
            } else {
                run_backward_as<float>(in, arriving, plan, to, threads);
            }
        }
        return results.tuple();
    }

private:
    const nb::object& dtype() const { return torch()->dtype_of(is_double_); }
    Index saved_per_direction() const { return (spec_.saved_gates() > 0) + spec_.has_cell_state(); }

    bool read_shaped(nb::handle tensor, std::initializer_list<Index> sizes, TensorView& view) const {
        return read_tensor(tensor, dtype(), view, true) && view.dimensions == static_cast<Index>(sizes.size()) &&
               std::equal(sizes.begin(), sizes.end(), view.size);
    }

    bool read_parameter(nb::handle tensor, Index slot, TensorView& view) const {
        const Index rows = spec_.gates() * spec_.hidden;
        switch (slot) {
            case 0:
                return read_shaped(tensor, {rows, spec_.input}, view);
            case 1:
                return read_shaped(tensor, {rows, spec_.output}, view);
            case 4:
                return read_shaped(tensor, {spec_.output, spec_.hidden}, view);
            case 5:
                return read_shaped(tensor, {rows - spec_.hidden}, view);
            default:
                return read_shaped(tensor, {rows}, view);
        }
    }

    bool read_inputs(nb::handle x, const nb::tuple& state, nb::handle lengths, const nb::tuple& parameters,
                     Inputs& in) const {
        if (!read_tensor(x, dtype(), in.x) || in.x.dimensions != 3 || in.x.size[2] != spec_.input) return false;
        in.time = in.x.size[batch_first_ ? 1 : 0], in.batch = in.x.size[batch_first_ ? 0 : 1];
        if (in.time == 0 || in.batch == 0) return false;
        if (!lengths.is_none() && !read_lengths(lengths, in.time, in.batch, in.lengths)) return false;
        if (state.size() > 0) {
            if (state.size() != 1U + spec_.has_cell_state()) return false;
            if (!read_shaped(state[0], {directions_, in.batch, spec_.output}, in.h_0)) return false;
            if (spec_.has_cell_state() && !read_shaped(state[1], {directions_, in.batch, spec_.hidden}, in.c_0))
                return false;
        }
        if (parameters.size() != slots_.size() * static_cast<std::size_t>(directions_)) return false;
        in.parameters.resize(parameters.size());
        for (std::size_t i = 0; i < parameters.size(); ++i)
            if (!read_parameter(parameters[i], slots_[i % slots_.size()], in.parameters[i])) return false;
        return true;
    }

    bool read_arriving(const Inputs& in, const Plan& plan, nb::handle output, const nb::tuple& kept, nb::handle doutput,
                       const nb::tuple& dstates, Arriving& arriving) const {
        const Index D = directions_, B = in.batch, P = spec_.output, H = spec_.hidden;
        const Index first = batch_first_ ? B : in.time, second = batch_first_ ? in.time : B;
        if (!read_shaped(output, {first, second, D * P}, arriving.out) ||
            !read_shaped(doutput, {first, second, D * P}, arriving.dout))
            return false;
        // a state that the loss does not depend on has no gradient
        if (!dstates[0].is_none() && !read_shaped(dstates[0], {D, B, P}, arriving.dh_n)) return false;
        if (spec_.has_cell_state() && !dstates[1].is_none() && !read_shaped(dstates[1], {D, B, H}, arriving.dc_n))
            return false;
        if (static_cast<Index>(kept.size()) != D * saved_per_direction()) return false;
        for (std::size_t i = 0; i < kept.size(); ++i)
            if (!read_tensor(kept[i], dtype(), arriving.saved[i]) || arriving.saved[i].size[0] != plan.all())
                return false;
        return true;
    }

    template <class S>
    Parameters<S> parameters_of(const Inputs& in, Index direction) const {
        ParameterAddresses addresses{};
        for (std::size_t i = 0; i < slots_.size(); ++i)
            addresses[static_cast<std::size_t>(slots_[i])] = reinterpret_cast<std::int64_t>(
                in.parameters[static_cast<std::size_t>(direction) * slots_.size() + i].data);
        return parameters_at<S>(addresses);
    }

    /// Strides of T and of B in an array of rows of `width` scalars.
    std::pair<Index, Index> strides(const Inputs& in, Index width) const {
        return batch_first_ ? std::pair{width, in.time * width} : std::pair{in.batch * width, width};
    }

    /// A state or gradient of direction `i`, or zeros where none was given.
    template <class S>
    static const S* or_zeros(const TensorView& given, const std::vector<S>& zeros, Index offset) {
        return given.data == nullptr ? zeros.data() : static_cast<const S*>(given.data) + offset;
    }

    template <class S>
    nb::object forward_as(const Inputs& in) const {
        const Plan plan(in.time, in.batch, in.lengths);
        const Index D = directions_, B = in.batch, P = spec_.output, H = spec_.hidden;
        const Index threads = torch()->threads();
        Results results(is_double_);
        Forward<S> call;
        call.spec = spec_;
        call.schedule = plan.schedule();
        call.directions = D;
        call.x = static_cast<const S*>(in.x.data);
        std::tie(call.x_time, call.x_batch) = strides(in, spec_.input);
        call.out = static_cast<S*>(batch_first_ ? results.add({B, in.time, D * P}) : results.add({in.time, B, D * P}));
        std::tie(call.out_time, call.out_batch) = strides(in, D * P);
        S* h_n = static_cast<S*>(results.add({D, B, P}));
        S* c_n = spec_.has_cell_state() ? static_cast<S*>(results.add({D, B, H})) : nullptr;
        for (Index i = 0; i < D; ++i) {
            ForwardDirection<S>& d = call.direction[i];
            d.reverse = i == 1;
            d.column = i * P;
            d.h_n = h_n + i * B * P;
            if (spec_.saved_gates() > 0)
                d.saved_gates = static_cast<S*>(results.add({plan.all(), spec_.saved_gates(), H}));
            if (!spec_.has_cell_state()) continue;
            d.c_n = c_n + i * B * H;
            d.saved_cells = static_cast<S*>(results.add({plan.all(), H}));
        }
        {
            const nb::gil_scoped_release released;
            const std::vector<S> zeros(in.h_0.data == nullptr ? static_cast<std::size_t>(D * B * std::max(P, H)) : 0);
            std::vector<std::unique_ptr<Packed<S>>> packed;
            for (Index i = 0; i < D; ++i) {
                packed.push_back(std::make_unique<Packed<S>>(spec_, parameters_of<S>(in, i), threads));
                ForwardDirection<S>& d = call.direction[i];
                d.gates_packed = packed.back()->gates();
                d.projection_packed = packed.back()->projection();
                d.peephole = packed.back()->peephole();
                d.h_0 = or_zeros(in.h_0, zeros, i * B * P);
                if (spec_.has_cell_state()) d.c_0 = or_zeros(in.c_0, zeros, i * B * H);
            }
            run_forward(call, packed.front()->kernels(), threads);
        }
        return results.tuple();
    }

    template <class S>
    void run_backward_as(const Inputs& in, const Arriving& arriving, const Plan& plan, const GradientAddresses& to,
                         Index threads) const {
        const Index D = directions_, B = in.batch, P = spec_.output, H = spec_.hidden;
        const std::vector<S> zeros(static_cast<std::size_t>(D * B * std::max(P, H)));
        const auto scalars = [](Index count) { return Buffer(count * static_cast<Index>(sizeof(S))); };
        const Buffer dgates = scalars(D * plan.all() * spec_.dgates() * H);
        const Buffer dh = scalars(spec_.is_projected() ? D * plan.all() * P : 0);
        const Buffer dstate = scalars(D * B * (P + H));
        Backward<S> call;
        call.spec = spec_;
        call.schedule = plan.schedule();
        call.directions = D;
        call.x = static_cast<const S*>(in.x.data);
        std::tie(call.x_time, call.x_batch) = strides(in, spec_.input);
        call.out = static_cast<const S*>(arriving.out.data);
        std::tie(call.out_time, call.out_batch) = strides(in, D * P);
        call.dout = static_cast<const S*>(arriving.dout.data);
        std::tie(call.dout_time, call.dout_batch) = strides(in, D * P);
        call.dx = static_cast<S*>(to.dx);
        std::tie(call.dx_time, call.dx_batch) = strides(in, spec_.input);
        for (Index i = 0; i < D; ++i) {
            BackwardDirection<S>& d = call.direction[i];
            d.reverse = i == 1;
            d.column = i * P;
            d.parameters = parameters_of<S>(in, i);
            d.h_0 = or_zeros(in.h_0, zeros, i * B * P);
            d.dh_n = or_zeros(arriving.dh_n, zeros, i * B * P);
            d.dh_0 = (to.dinitial[0] == nullptr ? dstate.as<S>() : static_cast<S*>(to.dinitial[0])) + i * B * P;
            d.dgates = dgates.as<S>() + i * plan.all() * spec_.dgates() * H;
            if (spec_.is_projected()) d.dh = dh.as<S>() + i * plan.all() * P;
            const TensorView* saved = arriving.saved.data() + i * saved_per_direction();
            if (spec_.saved_gates() > 0) d.saved_gates = static_cast<const S*>((saved++)->data);
            set_gradients(d, to, i);
            if (!spec_.has_cell_state()) continue;
            d.saved_cells = static_cast<const S*>(saved->data);
            d.c_0 = or_zeros(in.c_0, zeros, i * B * H);
            d.dc_n = or_zeros(arriving.dc_n, zeros, i * B * H);
            d.dc_0 =
                (to.dinitial[1] == nullptr ? dstate.as<S>() + D * B * P : static_cast<S*>(to.dinitial[1])) + i * B * H;
        }
        run_backward(call, threads);
    }

    /// Sets where the gradients of the parameters of direction `i` are written.
    template <class S>
    void set_gradients(BackwardDirection<S>& d, const GradientAddresses& to, Index i) const {
        S** const members[] = {&d.dweight_ih, &d.dweight_hh, &d.dbias_ih,
                               &d.dbias_hh,   &d.dweight_hr, &d.dweight_peephole};
        for (std::size_t k = 0; k < slots_.size(); ++k)
            *members[slots_[k]] = static_cast<S*>(to.parameters[static_cast<std::size_t>(i) * slots_.size() + k]);
    }

    Spec spec_;
    bool is_double_;
    Index directions_;
    bool batch_first_;
    std::vector<Index> slots_;
};

}  // namespace

void bind_training_layer(nb::module_& m) {
    nb::class_<TrainingLayer>(m, "TrainingLayer")
        .def(nb::init<const Spec&, bool, Index, bool, const std::vector<Index>&>())
        .def("forward", &TrainingLayer::forward, nb::arg("x"), nb::arg("state"), nb::arg("lengths").none(),
             nb::arg("parameters"))
        .def("backward", &TrainingLayer::backward, nb::arg("x"), nb::arg("state"), nb::arg("lengths").none(),
             nb::arg("parameters"), nb::arg("output"), nb::arg("kept"), nb::arg("doutput"), nb::arg("dstates"),
             nb::arg("needed"));
}

}  // namespace unrolled
