#include "packed_stack.hpp"

#include <nanobind/stl/array.h>
#include <nanobind/stl/vector.h>

#include <algorithm>

namespace unrolled {

namespace {
/// References to a parameter that nobody else holds: the table's, and ours.
constexpr Py_ssize_t kOwnReferences = 2;
}  // namespace

PackedStack::PackedStack(const std::vector<const AnyPacked*>& packed, const std::vector<std::uint64_t>& digests,
                         const nb::dict& parameters, const nb::list& watched, std::array<bool, 3> flags,
                         Index directions)
    : parameters_(parameters),
      is_double_(packed.front()->is_double()),
      is_batch_first_(flags[0]),
      is_residual_(flags[1]),
      starts_at_zero_(flags[2]),
      layers_(static_cast<Index>(packed.size()) / directions),
      directions_(directions),
      digests_(digests) {
    for (const AnyPacked* block : packed) packed_.push_back(*block);
    for (nb::handle item : watched) {
        const auto all = nb::cast<nb::tuple>(item);
        PyObject* name = all[0].ptr();
        Py_INCREF(name);
        PyUnicode_InternInPlace(&name);
        watched_.push_back({nb::steal(name), nb::borrow(all[1]), version_of(all[1]), address_of(all[1]),
                            nb::cast<std::size_t>(all[2]), nb::cast<std::size_t>(all[3])});
    }
    if (is_double_) {
        fill(doubles_);
    } else {
        fill(floats_);
    }
}

bool PackedStack::is_current() const {
    if (is_expired_) return false;
    bool is_held = false;
    for (const Watched& w : watched_) {
        if (PyDict_GetItem(parameters_.ptr(), w.name.ptr()) != w.tensor.ptr()) return false;
        is_held = is_held || Py_REFCNT(w.tensor.ptr()) > kOwnReferences;
    }
    if (is_sealed_ && !is_held && !was_read(parameters_)) return true;
    if (!compare()) return false;
    is_sealed_ = !is_held && seal(parameters_);
    return true;
}

bool PackedStack::compare() const {
    ParameterAddresses addresses{};
    for (std::size_t i = 0; i < watched_.size(); ++i) {
        const Watched& w = watched_[i];
        if (version_of(w.tensor) != w.version || address_of(w.tensor) != w.address) return false;
        addresses[w.slot] = w.address;
        if (i + 1 < watched_.size() && watched_[i + 1].block == w.block) continue;
        if (packed_[w.block].digest(addresses, is_double_ ? 8 : 4) != digests_[w.block]) return false;
        addresses = {};
    }
    return true;
}

template <class S>
bool PackedStack::read_states(nb::handle state, Index batch, const S*& h, const S*& c) const {
    const Stack<S>& s = stack<S>();
    const auto read = [&](nb::handle tensor, Index width, const S*& data) {
        TensorView view;
        if (!read_tensor(tensor, dtype(), view) || view.dimensions != 3 || view.size[0] != blocks() ||
            view.size[1] != batch || view.size[2] != width)
            return false;
        data = static_cast<const S*>(view.data);
        return true;
    };
    if (!s.has_cell_state()) return read(state, s.output(), h);
    if (!PyTuple_Check(state.ptr()) || PyTuple_GET_SIZE(state.ptr()) != 2) return false;
    return read(PyTuple_GET_ITEM(state.ptr(), 0), s.output(), h) &&
           read(PyTuple_GET_ITEM(state.ptr(), 1), s.hidden(), c);
}

template <class S>
bool PackedStack::initial_states(nb::handle state, Index batch, std::vector<S>& zeros, const S*& h, const S*& c) const {
    if (!state.is_none()) return read_states(state, batch, h, c);
    if (!starts_at_zero_) return false;
    const Stack<S>& s = stack<S>();
    zeros.assign(static_cast<std::size_t>(blocks() * batch * std::max(s.output(), s.hidden())), S(0));
    h = c = zeros.data();
    return true;
}

template <class S>
nb::object PackedStack::new_states(Index batch, S*& h, S*& c) const {
    const Stack<S>& s = stack<S>();
    void *h_data = nullptr, *c_data = nullptr;
    nb::object h_n = new_tensor(is_double_, {blocks(), batch, s.output()}, h_data);
    h = static_cast<S*>(h_data);
    if (!s.has_cell_state()) return h_n;
    nb::object c_n = new_tensor(is_double_, {blocks(), batch, s.hidden()}, c_data);
    c = static_cast<S*>(c_data);
    return nb::make_tuple(h_n, c_n);
}

template <class S>
nb::object PackedStack::step_as(nb::handle x, nb::handle state) const {
    const Stack<S>& s = stack<S>();
    TensorView in;
    if (directions_ != 1 || !read_tensor(x, dtype(), in) || in.dimensions != 2 || in.size[1] != s.input())
        return nb::none();
    const Index batch = in.size[0];
    const S *h_0 = nullptr, *c_0 = nullptr;
    S *h_n = nullptr, *c_n = nullptr;
    std::vector<S> zeros;
    if (!initial_states(state, batch, zeros, h_0, c_0) || !is_current()) return nb::none();
    void* out = nullptr;
    nb::object y = new_tensor(is_double_, {batch, s.output()}, out);
    nb::object final = new_states(batch, h_n, c_n);
    static thread_local StackRows<S> rows;
    rows.clear();
    for (Index b = 0; b < batch; ++b) {
        rows.x.push_back(static_cast<const S*>(in.data) + b * s.input());
        rows.y.push_back(static_cast<S*>(out) + b * s.output());
    }
    for (Index row = 0; row < layers_ * batch; ++row) {
        rows.h_0.push_back(h_0 + row * s.output());
        rows.h_n.push_back(h_n + row * s.output());
        if (c_n == nullptr) continue;
        rows.c_0.push_back(c_0 + row * s.hidden());
        rows.c_n.push_back(c_n + row * s.hidden());
    }
    const double work = s.work(batch);
    const Index threads = work < tuning::kMinWorkToCountThreads ? 1 : torch()->threads();
    run_without_gil(work, [&] { run_stack(s, rows, threads); });
    return nb::make_tuple(y, final);
}

/// The arrays of one call over a batch of sequences.
struct PackedStack::Sequence {
    Index time = 0, batch = 0;
    const void* x = nullptr;
    const std::int64_t* lengths = nullptr;
    void* out = nullptr;
};

bool PackedStack::read_sequence(nb::handle x, nb::handle lengths, Index input, Sequence& sequence) const {
    TensorView in, valid;
    if (is_residual_ || !read_tensor(x, dtype(), in) || in.dimensions != 3 || in.size[2] != input) return false;
    sequence.batch = in.size[is_batch_first_ ? 0 : 1];
    sequence.time = in.size[is_batch_first_ ? 1 : 0];
    sequence.x = in.data;
    if (sequence.batch == 0 || sequence.time == 0) return false;
    return lengths.is_none() || read_lengths(lengths, sequence.time, sequence.batch, sequence.lengths);
}

template <class S>
nb::object PackedStack::infer_as(nb::handle x, nb::handle state, nb::handle lengths) const {
    const Stack<S>& s = stack<S>();
    Sequence sequence;
    const S *h_0 = nullptr, *c_0 = nullptr;
    S *h_n = nullptr, *c_n = nullptr;
    std::vector<S> zeros;
    if (!read_sequence(x, lengths, s.input(), sequence) || !initial_states(state, sequence.batch, zeros, h_0, c_0) ||
        !is_current())
        return nb::none();
    const Index time = sequence.time, batch = sequence.batch, width = directions_ * s.output();
    nb::object y = is_batch_first_ ? new_tensor(is_double_, {batch, time, width}, sequence.out)
                                   : new_tensor(is_double_, {time, batch, width}, sequence.out);
    nb::object final = new_states(batch, h_n, c_n);
    const Index threads = torch()->threads();
    run_without_gil(s.work(batch * time), [&] { run_layers<S>(sequence, h_0, c_0, h_n, c_n, threads); });
    return nb::make_tuple(y, final);
}

template <class S>
void PackedStack::run_layers(const Sequence& sequence, const S* h_0, const S* c_0, S* h_n, S* c_n,
                             Index threads) const {
    const Stack<S>& s = stack<S>();
    const Index time = sequence.time, batch = sequence.batch, P = s.output(), H = s.hidden(), width = directions_ * P;
    const Plan plan(time, batch, sequence.lengths);
    // the outputs of all layers but the last alternate between two arrays
    std::vector<std::unique_ptr<Buffer>> between;
    Forward<S> call;
    call.schedule = plan.schedule();
    call.directions = directions_;
    call.x = static_cast<const S*>(sequence.x);
    call.x_time = is_batch_first_ ? s.input() : batch * s.input();
    call.x_batch = is_batch_first_ ? time * s.input() : s.input();
    for (Index layer = 0; layer < layers_; ++layer) {
        const bool is_last = layer + 1 == layers_;
        if (!is_last && between.size() < 2)
            between.push_back(std::make_unique<Buffer>(time * batch * width * static_cast<Index>(sizeof(S))));
        call.out = static_cast<S*>(sequence.out);
        if (!is_last) call.out = between[static_cast<std::size_t>(layer % 2)]->template as<S>();
        const bool by_row = is_last && is_batch_first_;
        call.out_time = by_row ? width : batch * width;
        call.out_batch = by_row ? time * width : width;
        for (Index i = 0; i < directions_; ++i) {
            const Index block = layer * directions_ + i;
            const Packed<S>& packed = *s.layers[static_cast<std::size_t>(block)];
            call.spec = packed.spec();
            ForwardDirection<S>& d = call.direction[i];
            d.reverse = i == 1;
            d.gates_packed = packed.gates();
            d.projection_packed = packed.projection();
            d.peephole = packed.peephole();
            d.h_0 = h_0 + block * batch * P;
            d.h_n = h_n + block * batch * P;
            if (c_n != nullptr) {
                d.c_0 = c_0 + block * batch * H;
                d.c_n = c_n + block * batch * H;
            }
            d.column = i * P;
        }
        run_forward(call, s.layers.front()->kernels(), threads);
        call.x = call.out;
        call.x_time = call.out_time;
        call.x_batch = call.out_batch;
    }
}

template bool PackedStack::read_states(nb::handle, Index, const float*&, const float*&) const;
template bool PackedStack::read_states(nb::handle, Index, const double*&, const double*&) const;
template nb::object PackedStack::new_states(Index, float*&, float*&) const;
template nb::object PackedStack::new_states(Index, double*&, double*&) const;

void bind_packed_stack(nb::module_& m) {
    nb::class_<AnyPacked>(m, "Packed")
        .def(nb::init<const Spec&, bool, const ParameterAddresses&, Index>())
        .def("digest", &AnyPacked::digest)
        .def_prop_ro("bytes", &AnyPacked::bytes);
    nb::class_<PackedStack>(m, "PackedStack")
        .def(nb::init<const std::vector<const AnyPacked*>&, const std::vector<std::uint64_t>&, const nb::dict&,
                      const nb::list&, std::array<bool, 3>, Index>())
        .def("is_current", &PackedStack::is_current)
        .def("expire", &PackedStack::expire)
        .def("step", &PackedStack::step, nb::arg("x"), nb::arg("state").none())
        .def("infer", &PackedStack::infer, nb::arg("x"), nb::arg("state").none(), nb::arg("lengths").none());
}

}  // namespace unrolled
