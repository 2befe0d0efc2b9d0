#include "prepared.hpp"

#include <nanobind/stl/array.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "any_packed.hpp"
#include "driver/stack.hpp"
#include "tensors.hpp"
#include "tuning.hpp"

namespace unrolled {
namespace {

/// Runs a job with the GIL released if it is long enough.
template <class F>
void run_free(double work, F&& job) {
    if (work < tuning::kMinWorkToReleaseGil) return job();
    const nb::gil_scoped_release free;
    job();
}

/// One parameter of the layer, as it was when it was packed.
struct Watched {
    nb::object name, tensor;
    std::int64_t version, address;
    std::size_t block, slot;  // which packed weights, which of their parameters
};

/// How a stack is to be run.
struct Options {
    Index layers, directions;
    bool batch_first, residual;
    /// Whether the layer, given no state, starts at zero.
    bool starts_at_zero;
};

/// A layer's packed weights, and what tells whether they are still its weights.
class Prepared {
public:
    Prepared(const std::vector<const AnyPacked*>& packed, const nb::dict& parameters, const nb::list& watched,
             std::array<bool, 3> flags, Index directions)
        : parameters_(parameters), is_double_(packed.front()->is_double()) {
        options_ = {static_cast<Index>(packed.size()) / directions, directions, flags[0], flags[1], flags[2]};
        for (const AnyPacked* one : packed) packed_.push_back(*one);
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

    bool is_double() const { return is_double_; }
    const Options& options() const { return options_; }
    template <class S>
    const Stack<S>& stack() const {
        if constexpr (sizeof(S) == sizeof(double))
            return doubles_;
        else
            return floats_;
    }
    const nb::object& dtype() const { return torch()->dtype_of(is_double_); }

    /// Whether the layer's parameters are the same objects, written to as often as then, by torch's count.
    bool is_current() const {
        for (const Watched& w : watched_)
            if (PyDict_GetItem(parameters_.ptr(), w.name.ptr()) != w.tensor.ptr() || version_of(w.tensor) != w.version)
                return false;
        return true;
    }
    /// And whether they also have the same memory, and some of their elements the same bits: that is for writes
    /// through `.data`, which torch does not count.
    bool is_current_in_memory() const {
        if (!is_current()) return false;
        ParameterAddresses found{};
        for (std::size_t i = 0; i < watched_.size(); ++i) {
            const Watched& w = watched_[i];
            if (address_of(w.tensor) != w.address) return false;
            found[w.slot] = w.address;
            if (i + 1 < watched_.size() && watched_[i + 1].block == w.block) continue;
            if (!packed_[w.block].matches(found)) return false;
            found = {};
        }
        return true;
    }

    nb::object step(nb::handle x, nb::handle state) const {
        return is_double_ ? step_as<double>(x, state) : step_as<float>(x, state);
    }
    nb::object infer(nb::handle x, nb::handle state, nb::handle lengths) const {
        return is_double_ ? infer_as<double>(x, state, lengths) : infer_as<float>(x, state, lengths);
    }

private:
    template <class S>
    void fill(Stack<S>& stack) {
        for (const AnyPacked& one : packed_) stack.layers.push_back(one.shared<S>());
        stack.residual = options_.residual;
    }

    /// Where the states lie that were given, (L·D, B, size) each, or zeros; false if they are not as they should be.
    template <class S>
    bool read_states(nb::handle state, Index batch, std::vector<S>& zeros, const S*& h, const S*& c) const {
        const Stack<S>& s = stack<S>();
        const Index count = static_cast<Index>(packed_.size());
        if (state.is_none()) {
            if (!options_.starts_at_zero) return false;
            zeros.assign(static_cast<std::size_t>(count * batch * std::max(s.output(), s.hidden())), S(0));
            h = c = zeros.data();
            return true;
        }
        const auto read = [&](nb::handle tensor, Index width, const S*& data) {
            TensorView view;
            if (!read_tensor(tensor, dtype(), view) || view.dimensions != 3 || view.size[0] != count ||
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

    /// New tensors for the final states, and what the layer returns of them.
    template <class S>
    nb::object new_states(Index batch, S*& h, S*& c) const {
        const Stack<S>& s = stack<S>();
        const Index count = static_cast<Index>(packed_.size());
        void *h_data = nullptr, *c_data = nullptr;
        nb::object h_n = new_tensor(is_double_, {count, batch, s.output()}, h_data);
        h = static_cast<S*>(h_data);
        if (!s.has_cell_state()) return h_n;
        nb::object c_n = new_tensor(is_double_, {count, batch, s.hidden()}, c_data);
        c = static_cast<S*>(c_data);
        return nb::make_tuple(h_n, c_n);
    }

    template <class S>
    nb::object step_as(nb::handle x, nb::handle state) const {
        const Stack<S>& s = stack<S>();
        TensorView in;
        if (options_.directions != 1 || !read_tensor(x, dtype(), in) || in.dimensions != 2 || in.size[1] != s.input())
            return nb::none();
        const Index batch = in.size[0];
        const S *h_0 = nullptr, *c_0 = nullptr;
        S *h_n = nullptr, *c_n = nullptr;
        std::vector<S> zeros;
        if (!read_states(state, batch, zeros, h_0, c_0) || !is_current_in_memory()) return nb::none();
        void* out = nullptr;
        nb::object y = new_tensor(is_double_, {batch, s.output()}, out);
        nb::object final = new_states(batch, h_n, c_n);
        static thread_local StackRows<S> rows;
        rows.clear();
        for (Index b = 0; b < batch; ++b) {
            rows.x.push_back(static_cast<const S*>(in.data) + b * s.input());
            rows.y.push_back(static_cast<S*>(out) + b * s.output());
        }
        for (Index row = 0; row < options_.layers * batch; ++row) {
            rows.h_0.push_back(h_0 + row * s.output());
            rows.h_n.push_back(h_n + row * s.output());
            if (c_n == nullptr) continue;
            rows.c_0.push_back(c_0 + row * s.hidden());
            rows.c_n.push_back(c_n + row * s.hidden());
        }
        const double work = s.work(batch);
        const Index threads = work < tuning::kMinWorkToCountThreads ? 1 : torch()->threads();
        run_free(work, [&] { run_stack(s, rows, threads); });
        return nb::make_tuple(y, final);
    }

    template <class S>
    nb::object infer_as(nb::handle x, nb::handle state, nb::handle lengths) const {
        const Stack<S>& s = stack<S>();
        const Index D = options_.directions, P = s.output(), H = s.hidden();
        TensorView in, valid;
        if (options_.residual || !read_tensor(x, dtype(), in) || in.dimensions != 3 || in.size[2] != s.input())
            return nb::none();
        const Index batch = in.size[options_.batch_first ? 0 : 1], time = in.size[options_.batch_first ? 1 : 0];
        if (batch == 0 || time == 0) return nb::none();
        if (!lengths.is_none()) {
            if (!read_tensor(lengths, torch()->int64, valid) || valid.dimensions != 1 || valid.size[0] != batch)
                return nb::none();
            const auto* n = static_cast<const std::int64_t*>(valid.data);
            if (std::any_of(n, n + batch, [&](std::int64_t l) { return l < 0 || l > time; })) return nb::none();
        }
        const S *h_0 = nullptr, *c_0 = nullptr;
        S *h_n = nullptr, *c_n = nullptr;
        std::vector<S> zeros;
        if (!read_states(state, batch, zeros, h_0, c_0) || !is_current_in_memory()) return nb::none();
        void* out = nullptr;
        nb::object y = options_.batch_first ? new_tensor(is_double_, {batch, time, D * P}, out)
                                            : new_tensor(is_double_, {time, batch, D * P}, out);
        nb::object final = new_states(batch, h_n, c_n);
        const Index threads = torch()->threads();
        const double work = s.work(batch * time);
        run_free(work, [&] {
            const Plan plan(time, batch, static_cast<const std::int64_t*>(valid.data));
            std::vector<std::unique_ptr<Buffer>> between;
            Forward<S> call;
            call.schedule = plan.schedule();
            call.directions = D;
            call.x = static_cast<const S*>(in.data);
            call.x_time = options_.batch_first ? s.input() : batch * s.input();
            call.x_batch = options_.batch_first ? time * s.input() : s.input();
            for (Index layer = 0; layer < options_.layers; ++layer) {
                const bool is_last = layer + 1 == options_.layers;
                if (!is_last && between.size() < 2)
                    between.push_back(
                        std::make_unique<Buffer>(time * batch * D * P * static_cast<Index>(sizeof(S))));
                call.out = static_cast<S*>(out);
                if (!is_last) call.out = between[static_cast<std::size_t>(layer % 2)]->template as<S>();
                const bool by_row = is_last && options_.batch_first;
                call.out_time = by_row ? D * P : batch * D * P;
                call.out_batch = by_row ? time * D * P : D * P;
                for (Index i = 0; i < D; ++i) {
                    const Index block = layer * D + i;
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
        });
        return nb::make_tuple(y, final);
    }

    nb::dict parameters_;
    bool is_double_;
    Options options_;
    std::vector<AnyPacked> packed_;
    std::vector<Watched> watched_;
    Stack<float> floats_;
    Stack<double> doubles_;
};

/// Streams in progress: some rows that are always stepped together, and their states.
class Stream {
public:
    Stream(const Prepared& prepared, Index batch) : prepared_(nb::find(prepared)) {
        if (prepared.is_double()) {
            doubles_ = std::make_unique<StreamStates<double>>(prepared.stack<double>(), batch);
        } else {
            floats_ = std::make_unique<StreamStates<float>>(prepared.stack<float>(), batch);
        }
    }
    const Prepared& prepared() const { return nb::cast<const Prepared&>(prepared_); }
    template <class S>
    StreamStates<S>& states() const {
        if constexpr (sizeof(S) == sizeof(double))
            return *doubles_;
        else
            return *floats_;
    }

    void read(std::int64_t h, std::int64_t c) {
        if (floats_) return locked(*floats_, [&](auto& s) { s.read(at<const float>(h), at<const float>(c)); });
        locked(*doubles_, [&](auto& s) { s.read(at<const double>(h), at<const double>(c)); });
    }
    void write(std::int64_t h, std::int64_t c) const {
        if (floats_) return locked(*floats_, [&](auto& s) { s.write(at<float>(h), at<float>(c)); });
        locked(*doubles_, [&](auto& s) { s.write(at<double>(h), at<double>(c)); });
    }

private:
    template <class States, class F>
    static void locked(States& states, F&& job) {
        const std::lock_guard<std::mutex> lock(states.guard);
        job(states);
    }
    nb::object prepared_;
    std::unique_ptr<StreamStates<float>> floats_;
    std::unique_ptr<StreamStates<double>> doubles_;
};

/// A tensor (B, width) to write to: the one given, or a new one. Empty if the one given is not as it should be.
nb::object output(const Prepared& prepared, nb::handle given, Index batch, Index width, void*& data) {
    if (given.is_none()) return new_tensor(prepared.is_double(), {batch, width}, data);
    TensorView view;
    if (!read_tensor(given, prepared.dtype(), view) || view.dimensions != 2 || view.size[0] != batch ||
        view.size[1] != width || wants_gradient(given))
        return {};
    data = view.data;
    return nb::borrow(given);
}

/// One step of some streams of one layer, each once; None if anything is not as it was prepared for.
template <class S, class Streams>
nb::object step_streams(const Prepared& prepared, const Streams& streams, Index batch, nb::handle x, nb::handle out) {
    const Stack<S>& stack = prepared.stack<S>();
    TensorView in;
    if (!read_tensor(x, prepared.dtype(), in) || in.dimensions != 2 || in.size[0] != batch ||
        in.size[1] != stack.input() || !prepared.is_current())
        return nb::none();
    void* data = nullptr;
    nb::object y = output(prepared, out, batch, stack.output(), data);
    if (!y.is_valid()) return nb::none();
    const auto* from = static_cast<const S*>(in.data);
    auto* to = static_cast<S*>(data);
    // a step may write its result over its own input, row for row, only once all of it has been read
    const bool overlaps = to < from + batch * stack.input() && from < to + batch * stack.output();
    if (overlaps && batch > 0) return nb::none();
    const double work = stack.work(batch);
    // so short a step uses one thread anyway
    const Index threads = work < tuning::kMinWorkToCountThreads ? 1 : torch()->threads();
    const auto run = [&] {
        static thread_local StackRows<S> rows;
        rows.clear();
        for (Index b = 0; b < batch; ++b) {
            rows.x.push_back(from + b * stack.input());
            rows.y.push_back(to + b * stack.output());
        }
        for (std::size_t layer = 0; layer < stack.layers.size(); ++layer)
            for (const Stream* one : streams) one->template states<S>().add_rows(layer, rows);
        run_stack(stack, rows, threads);
        for (const Stream* one : streams) one->template states<S>().advance();
    };
    run_free(work, [&] {
        if (streams.size() == 1) {
            const std::lock_guard<std::mutex> lock(streams[0]->template states<S>().guard);
            return run();
        }
        // in one order, whoever steps them: two threads that hold some and wait for others would wait for ever
        std::vector<std::mutex*> guards;
        for (const Stream* one : streams) guards.push_back(&one->template states<S>().guard);
        std::sort(guards.begin(), guards.end());
        std::vector<std::unique_lock<std::mutex>> locks;
        for (std::mutex* guard : guards) locks.emplace_back(*guard);
        run();
    });
    return y;
}

nb::object step_one(const Stream& stream, nb::handle x, nb::handle out) {
    const Prepared& prepared = stream.prepared();
    const std::array<const Stream*, 1> one{&stream};
    return prepared.is_double() ? step_streams<double>(prepared, one, stream.states<double>().batch(), x, out)
                                : step_streams<float>(prepared, one, stream.states<float>().batch(), x, out);
}

/// None, too, for streams of several layers, or one that is there twice.
nb::object step_many(const std::vector<const Stream*>& streams, nb::handle x, nb::handle out) {
    if (streams.empty()) return nb::none();
    const Prepared& prepared = streams.front()->prepared();
    Index batch = 0;
    for (const Stream* one : streams) {
        if (&one->prepared() != &prepared) return nb::none();
        batch += prepared.is_double() ? one->states<double>().batch() : one->states<float>().batch();
    }
    std::vector<const Stream*> sorted = streams;
    std::sort(sorted.begin(), sorted.end());
    if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) return nb::none();
    return prepared.is_double() ? step_streams<double>(prepared, streams, batch, x, out)
                                : step_streams<float>(prepared, streams, batch, x, out);
}

}  // namespace

void bind_prepared(nb::module_& m) {
    nb::class_<AnyPacked>(m, "Packed")
        .def(nb::init<const Spec&, bool, const ParameterAddresses&, Index>())
        .def("matches", &AnyPacked::matches)
        .def_prop_ro("bytes", &AnyPacked::bytes);
    nb::class_<Prepared>(m, "Prepared")
        .def(nb::init<const std::vector<const AnyPacked*>&, const nb::dict&, const nb::list&, std::array<bool, 3>,
                      Index>())
        .def("is_current", &Prepared::is_current_in_memory)
        .def("step", &Prepared::step, nb::arg("x"), nb::arg("state").none())
        .def("infer", &Prepared::infer, nb::arg("x"), nb::arg("state").none(), nb::arg("lengths").none());
    nb::class_<Stream>(m, "Stream")
        .def(nb::init<const Prepared&, Index>())
        .def("read", &Stream::read)
        .def("write", &Stream::write)
        .def("step", &step_one, nb::arg("x"), nb::arg("out").none());
    m.def("step_many", &step_many, nb::arg("streams"), nb::arg("x"), nb::arg("out").none());
}

}  // namespace unrolled
