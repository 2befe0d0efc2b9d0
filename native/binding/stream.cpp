#include "stream.hpp"

#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>
#include <vector>

#include "packed_stack.hpp"

namespace unrolled {
namespace {

/// Some streams that are always stepped together, and their states, which it owns.
class Stream {
public:
    Stream(const PackedStack& packed, Index batch) : packed_(nb::find(packed)) {
        if (packed.is_double()) {
            doubles_ = std::make_unique<StreamStates<double>>(packed.stack<double>(), batch);
        } else {
            floats_ = std::make_unique<StreamStates<float>>(packed.stack<float>(), batch);
        }
    }
    const PackedStack& packed() const { return nb::cast<const PackedStack&>(packed_); }
    Index batch() const { return floats_ ? floats_->batch() : doubles_->batch(); }
    template <class S>
    StreamStates<S>& states() const {
        if constexpr (sizeof(S) == sizeof(double))
            return *doubles_;
        else
            return *floats_;
    }

    /// Whether steps will find the weights unchanged.
    bool is_current() const { return packed().is_current(); }
    /// A copy of the states, as the layer returns them.
    nb::object get_state() const { return floats_ ? get_as<float>() : get_as<double>(); }
    /// Takes a copy of the states; false if they are not as they should be.
    bool set_state(nb::handle state) { return floats_ ? set_as<float>(state) : set_as<double>(state); }

private:
    template <class S>
    nb::object get_as() const {
        S *h = nullptr, *c = nullptr;
        nb::object state = packed().new_states<S>(batch(), h, c);
        const std::lock_guard<std::mutex> lock(states<S>().guard);
        states<S>().write(h, c);
        return state;
    }
    template <class S>
    bool set_as(nb::handle state) {
        const S *h = nullptr, *c = nullptr;
        if (!packed().read_states<S>(state, batch(), h, c)) return false;
        const std::lock_guard<std::mutex> lock(states<S>().guard);
        states<S>().read(h, c);
        return true;
    }

    nb::object packed_;
    std::unique_ptr<StreamStates<float>> floats_;
    std::unique_ptr<StreamStates<double>> doubles_;
};

/// A tensor (B, width) to write to: the one given, or a new one. Invalid if the one given is not as it should be.
nb::object output(const PackedStack& packed, nb::handle given, Index batch, Index width, void*& data) {
    if (given.is_none()) return new_tensor(packed.is_double(), {batch, width}, data);
    TensorView view;
    if (!read_tensor(given, packed.dtype(), view) || view.dimensions != 2 || view.size[0] != batch ||
        view.size[1] != width || wants_gradient(given))
        return {};
    data = view.data;
    return nb::borrow(given);
}

/// Steps some streams of one stack, each once; None if a tensor is not as it should be, or the weights have changed.
template <class S, class Streams>
nb::object step_streams(const PackedStack& packed, const Streams& streams, Index batch, nb::handle x, nb::handle out) {
    const Stack<S>& stack = packed.stack<S>();
    TensorView in;
    if (!read_tensor(x, packed.dtype(), in) || in.dimensions != 2 || in.size[0] != batch ||
        in.size[1] != stack.input() || !packed.is_current())
        return nb::none();
    void* data = nullptr;
    nb::object y = output(packed, out, batch, stack.output(), data);
    if (!y.is_valid()) return nb::none();
    const auto* from = static_cast<const S*>(in.data);
    auto* to = static_cast<S*>(data);
    // rows of the output are written before all rows of the input are read
    const bool overlaps = to < from + batch * stack.input() && from < to + batch * stack.output();
    if (overlaps && batch > 0) return nb::none();
    const double work = stack.work(batch);
    const Index threads = work < tuning::kMinWorkToCountThreads ? 1 : torch()->threads();
    const auto run = [&] {
        static thread_local StackRows<S> rows;
        rows.clear();
        for (Index b = 0; b < batch; ++b) {
            rows.x.push_back(from + b * stack.input());
            rows.y.push_back(to + b * stack.output());
        }
        for (std::size_t layer = 0; layer < stack.layers.size(); ++layer)
            for (const Stream* stream : streams) stream->template states<S>().add_rows(layer, rows);
        run_stack(stack, rows, threads);
        for (const Stream* stream : streams) stream->template states<S>().advance();
    };
    run_without_gil(work, [&] {
        if (streams.size() == 1) {
            const std::lock_guard<std::mutex> lock(streams[0]->template states<S>().guard);
            return run();
        }
        // locked in one order, whoever steps them: two threads that each wait for the other's would wait for ever
        std::vector<std::mutex*> guards;
        for (const Stream* stream : streams) guards.push_back(&stream->template states<S>().guard);
        std::sort(guards.begin(), guards.end());
        std::vector<std::unique_lock<std::mutex>> locks;
        for (std::mutex* guard : guards) locks.emplace_back(*guard);
        run();
    });
    return y;
}

nb::object step_one(const Stream& stream, nb::handle x, nb::handle out) {
    const PackedStack& packed = stream.packed();
    const std::array<const Stream*, 1> streams{&stream};
    return packed.is_double() ? step_streams<double>(packed, streams, stream.batch(), x, out)
                              : step_streams<float>(packed, streams, stream.batch(), x, out);
}

/// Also returns None for streams of several stacks, or a stream that is there twice.
nb::object step_many(const std::vector<const Stream*>& streams, nb::handle x, nb::handle out) {
    if (streams.empty()) return nb::none();
    const PackedStack& packed = streams.front()->packed();
    Index batch = 0;
    for (const Stream* stream : streams) {
        if (&stream->packed() != &packed) return nb::none();
        batch += stream->batch();
    }
    std::vector<const Stream*> sorted = streams;
    std::sort(sorted.begin(), sorted.end());
    if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) return nb::none();
    return packed.is_double() ? step_streams<double>(packed, streams, batch, x, out)
                              : step_streams<float>(packed, streams, batch, x, out);
}

}  // namespace

void bind_stream(nb::module_& m) {
    nb::class_<Stream>(m, "Stream")
        .def(nb::init<const PackedStack&, Index>())
        .def("is_current", &Stream::is_current)
        .def("get_state", &Stream::get_state)
        .def("set_state", &Stream::set_state)
        .def("step", &step_one, nb::arg("x"), nb::arg("out").none());
    m.def("step_many", &step_many, nb::arg("streams"), nb::arg("x"), nb::arg("out").none());
}

}  // namespace unrolled
