#include "training.hpp"

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

/// The tensors of one call, read anew for each, since an optimiser may have put others in their place.
struct Inputs {
    TensorView x, lengths, h_0, c_0;
    std::vector<TensorView> parameters;  // of each direction in turn
    Index time = 0, batch = 0;
};

/// One layer, its directions together: a forward pass that keeps what the backward pass needs, and that backward pass.
/// Either returns None, having done nothing, where a tensor is not as it should be: a plain contiguous one on the CPU.
class Training {
public:
    /// `slots`: which of the kernels' parameters a direction's are, in their order here.
    Training(const Spec& spec, bool is_double, Index directions, bool batch_first, const std::vector<Index>& slots)
        : spec_(spec), is_double_(is_double), directions_(directions), batch_first_(batch_first), slots_(slots) {}

    /// The output, the final states (D, B, ·), and what is kept: of each direction the gates, if any, and the cells.
    /// None, too, where no tensor takes part in a graph.
    nb::object forward(nb::handle x, const nb::tuple& state, nb::handle lengths, const nb::tuple& parameters) const {
        return is_double_ ? forward_as<double>(x, state, lengths, parameters)
                          : forward_as<float>(x, state, lengths, parameters);
    }

    /// The gradients of x, of the states given and of the parameters, None where not `needed`.
    nb::object backward(nb::handle x, const nb::tuple& state, nb::handle lengths, const nb::tuple& parameters,
                        nb::handle output, const nb::tuple& kept, nb::handle doutput, const nb::tuple& dstates,
                        const nb::tuple& needed) const {
        return is_double_
                   ? backward_as<double>(x, state, lengths, parameters, output, kept, doutput, dstates, needed)
                   : backward_as<float>(x, state, lengths, parameters, output, kept, doutput, dstates, needed);
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
        if (!lengths.is_none()) {
            if (!read_tensor(lengths, torch()->int64, in.lengths) || in.lengths.dimensions != 1 ||
                in.lengths.size[0] != in.batch)
                return false;
            const auto* n = static_cast<const std::int64_t*>(in.lengths.data);
            if (std::any_of(n, n + in.batch, [&](std::int64_t l) { return l < 0 || l > in.time; })) return false;
        }
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

    template <class S>
    Parameters<S> parameters_of(const Inputs& in, Index direction) const {
        ParameterAddresses found{};
        for (std::size_t i = 0; i < slots_.size(); ++i)
            found[static_cast<std::size_t>(slots_[i])] = reinterpret_cast<std::int64_t>(
                in.parameters[static_cast<std::size_t>(direction) * slots_.size() + i].data);
        return parameters_at<S>(found);
    }

    /// Strides of T and of B in an array of rows of so many scalars.
    std::pair<Index, Index> strides(const Inputs& in, Index width) const {
        return batch_first_ ? std::pair{width, in.time * width} : std::pair{in.batch * width, width};
    }

    template <class S>
    nb::object forward_as(nb::handle x, const nb::tuple& state, nb::handle lengths, const nb::tuple& parameters) const {
        Inputs in;
        if (!read_inputs(x, state, lengths, parameters, in)) return nb::none();
        // without a graph nothing need be kept
        const auto in_graph = [](nb::handle tensor) { return wants_gradient(tensor); };
        if (!in_graph(x) && std::none_of(state.begin(), state.end(), in_graph) &&
            std::none_of(parameters.begin(), parameters.end(), in_graph))
            return nb::none();
        const Plan plan(in.time, in.batch, static_cast<const std::int64_t*>(in.lengths.data));
        const Index D = directions_, B = in.batch, P = spec_.output, H = spec_.hidden;
        const Index threads = torch()->threads();
        void *out = nullptr, *h_n = nullptr, *c_n = nullptr;
        nb::list found;
        found.append(batch_first_ ? new_tensor(is_double_, {B, in.time, D * P}, out)
                                  : new_tensor(is_double_, {in.time, B, D * P}, out));
        found.append(new_tensor(is_double_, {D, B, P}, h_n));
        if (spec_.has_cell_state()) found.append(new_tensor(is_double_, {D, B, H}, c_n));
        std::array<void*, 2> gates{}, cells{};
        for (std::size_t i = 0; i < static_cast<std::size_t>(D); ++i) {
            if (spec_.saved_gates() > 0)
                found.append(new_tensor(is_double_, {plan.all(), spec_.saved_gates(), H}, gates[i]));
            if (spec_.has_cell_state()) found.append(new_tensor(is_double_, {plan.all(), H}, cells[i]));
        }
        {
            const nb::gil_scoped_release free;
            const std::vector<S> zeros(in.h_0.data == nullptr ? static_cast<std::size_t>(D * B * std::max(P, H)) : 0);
            std::vector<std::unique_ptr<Packed<S>>> packed;
            Forward<S> call;
            call.spec = spec_;
            call.schedule = plan.schedule();
            call.directions = D;
            call.x = static_cast<const S*>(in.x.data);
            std::tie(call.x_time, call.x_batch) = strides(in, spec_.input);
            call.out = static_cast<S*>(out);
            std::tie(call.out_time, call.out_batch) = strides(in, D * P);
            for (Index i = 0; i < D; ++i) {
                packed.push_back(std::make_unique<Packed<S>>(spec_, parameters_of<S>(in, i), threads));
                ForwardDirection<S>& d = call.direction[i];
                d.reverse = i == 1;
                d.gates_packed = packed.back()->gates();
                d.projection_packed = packed.back()->projection();
                d.peephole = packed.back()->peephole();
                d.h_0 = initial(in.h_0, zeros, i * B * P);
                d.h_n = static_cast<S*>(h_n) + i * B * P;
                if (spec_.has_cell_state()) {
                    d.c_0 = initial(in.c_0, zeros, i * B * H);
                    d.c_n = static_cast<S*>(c_n) + i * B * H;
                }
                d.saved_gates = static_cast<S*>(gates[static_cast<std::size_t>(i)]);
                d.saved_cells = static_cast<S*>(cells[static_cast<std::size_t>(i)]);
                d.column = i * P;
            }
            run_forward(call, packed.front()->kernels(), threads);
        }
        return nb::tuple(found);
    }

    /// Where a given state begins, or zeros.
    template <class S>
    static const S* initial(const TensorView& given, const std::vector<S>& zeros, Index offset) {
        return given.data == nullptr ? zeros.data() : static_cast<const S*>(given.data) + offset;
    }

    template <class S>
    nb::object backward_as(nb::handle x, const nb::tuple& state, nb::handle lengths, const nb::tuple& parameters,
                           nb::handle output, const nb::tuple& kept, nb::handle doutput, const nb::tuple& dstates,
                           const nb::tuple& needed) const {
        Inputs in;
        if (!read_inputs(x, state, lengths, parameters, in)) return nb::none();
        const Plan plan(in.time, in.batch, static_cast<const std::int64_t*>(in.lengths.data));
        const Index D = directions_, B = in.batch, T = in.time, P = spec_.output, H = spec_.hidden;
        const Index first = batch_first_ ? B : T, second = batch_first_ ? T : B;
        TensorView out, dout, dh_n, dc_n;
        if (!read_shaped(output, {first, second, D * P}, out) || !read_shaped(doutput, {first, second, D * P}, dout))
            return nb::none();
        // the gradient of a state that nothing depends on is not there
        if (!dstates[0].is_none() && !read_shaped(dstates[0], {D, B, P}, dh_n)) return nb::none();
        if (spec_.has_cell_state() && !dstates[1].is_none() && !read_shaped(dstates[1], {D, B, H}, dc_n))
            return nb::none();
        std::array<TensorView, 4> saved;
        if (static_cast<Index>(kept.size()) != D * saved_per_direction()) return nb::none();
        for (std::size_t i = 0; i < kept.size(); ++i)
            if (!read_tensor(kept[i], dtype(), saved[i]) || saved[i].size[0] != plan.all()) return nb::none();

        nb::list found;
        std::size_t place = 0;
        const auto wanted = [&] { return nb::cast<bool>(needed[place++]); };
        const auto add = [&](bool is_wanted, const TensorView& like) {
            void* data = nullptr;
            if (!is_wanted) return found.append(nb::none()), data;
            const Index* n = like.size;
            switch (like.dimensions) {
                case 1:
                    found.append(new_tensor(is_double_, {n[0]}, data));
                    break;
                case 2:
                    found.append(new_tensor(is_double_, {n[0], n[1]}, data));
                    break;
                default:
                    found.append(new_tensor(is_double_, {n[0], n[1], n[2]}, data));
            }
            return data;
        };
        void* dx = add(wanted(), in.x);
        std::array<void*, 2> dinitial{};
        for (std::size_t i = 0; i < state.size(); ++i) dinitial[i] = add(wanted(), i == 0 ? in.h_0 : in.c_0);
        std::vector<std::int64_t> gradients;
        for (const TensorView& parameter : in.parameters)
            gradients.push_back(reinterpret_cast<std::int64_t>(add(wanted(), parameter)));
        const Index threads = torch()->threads();
        {
            const nb::gil_scoped_release free;
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
            call.out = static_cast<const S*>(out.data);
            std::tie(call.out_time, call.out_batch) = strides(in, D * P);
            call.dout = static_cast<const S*>(dout.data);
            std::tie(call.dout_time, call.dout_batch) = strides(in, D * P);
            call.dx = static_cast<S*>(dx);
            std::tie(call.dx_time, call.dx_batch) = strides(in, spec_.input);
            for (Index i = 0; i < D; ++i) {
                BackwardDirection<S>& d = call.direction[i];
                d.reverse = i == 1;
                d.parameters = parameters_of<S>(in, i);
                d.h_0 = initial(in.h_0, zeros, i * B * P);
                d.dh_n = initial(dh_n, zeros, i * B * P);
                const TensorView* keeps = saved.data() + i * saved_per_direction();
                if (spec_.saved_gates() > 0) d.saved_gates = static_cast<const S*>((keeps++)->data);
                d.dh_0 = dinitial[0] == nullptr ? dstate.as<S>() + i * B * P : static_cast<S*>(dinitial[0]) + i * B * P;
                if (spec_.has_cell_state()) {
                    d.saved_cells = static_cast<const S*>(keeps->data);
                    d.c_0 = initial(in.c_0, zeros, i * B * H);
                    d.dc_n = initial(dc_n, zeros, i * B * H);
                    d.dc_0 = dinitial[1] == nullptr ? dstate.as<S>() + D * B * P + i * B * H
                                                    : static_cast<S*>(dinitial[1]) + i * B * H;
                }
                d.dgates = dgates.as<S>() + i * plan.all() * spec_.dgates() * H;
                if (spec_.is_projected()) d.dh = dh.as<S>() + i * plan.all() * P;
                S** const to[] = {&d.dweight_ih, &d.dweight_hh, &d.dbias_ih, &d.dbias_hh, &d.dweight_hr,
                                  &d.dweight_peephole};
                for (std::size_t k = 0; k < slots_.size(); ++k)
                    *to[slots_[k]] = at<S>(gradients[static_cast<std::size_t>(i) * slots_.size() + k]);
                d.column = i * P;
            }
            run_backward(call, threads);
        }
        return nb::tuple(found);
    }

    Spec spec_;
    bool is_double_;
    Index directions_;
    bool batch_first_;
    std::vector<Index> slots_;
};

}  // namespace

void bind_training(nb::module_& m) {
    nb::class_<Training>(m, "Training")
        .def(nb::init<const Spec&, bool, Index, bool, const std::vector<Index>&>())
        .def("forward", &Training::forward, nb::arg("x"), nb::arg("state"), nb::arg("lengths").none(),
             nb::arg("parameters"))
        .def("backward", &Training::backward, nb::arg("x"), nb::arg("state"), nb::arg("lengths").none(),
             nb::arg("parameters"), nb::arg("output"), nb::arg("kept"), nb::arg("doutput"), nb::arg("dstates"),
             nb::arg("needed"));
}

}  // namespace unrolled
