// Runs random shapes of elementwise recurrences through the kernels of every instruction set of this machine, under the
// sanitizers, as random_shapes.cpp does for cells with W_hh:
//
//     build/sanitize/random_elementwise 200   the number of rounds; a second number is the seed
//
// Every array is a heap block of exactly the size that the contract gives it. Values are required to be finite, equal
// on any number of threads, and equal between a whole sequence and its single steps; tests/kernels compares them with
// the scan.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "driver/elementwise.hpp"

namespace {

using namespace unrolled;

std::mt19937 source{1};

Index draw(Index low, Index high) { return std::uniform_int_distribution<Index>(low, high)(source); }

template <class S>
std::vector<S> normal(Index count, double scale = 0.5) {
    std::normal_distribution<double> bell(0.0, scale);
    std::vector<S> v(static_cast<std::size_t>(count));
    for (S& x : v) x = static_cast<S>(bell(source));
    return v;
}

template <class S>
std::vector<S> poisoned(Index count) {
    return std::vector<S>(static_cast<std::size_t>(count), static_cast<S>(NAN));
}

template <class S>
S* or_null(std::vector<S>& v) {
    return v.empty() ? nullptr : v.data();
}

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "random_elementwise: %s\n", what);
    std::exit(1);
}

ElementwiseSpec draw_spec() {
    ElementwiseSpec spec;
    spec.kind = static_cast<Recurrence>(draw(0, 7));
    spec.hidden = draw(1, draw(0, 2) == 0 ? 150 : 40);
    spec.input = draw(1, 40);
    if ((spec.kind == Recurrence::sru || spec.kind == Recurrence::rglru) && draw(0, 1) == 1)
        spec.carries_input = true, spec.input = spec.hidden;
    spec.highway_scale = 1.25;
    return spec;
}

/// One direction's parameters and arrays.
template <class S>
struct Side {
    std::vector<S> weight_ih, bias_ih, weight_output, vectors;
    std::vector<S> initial[3], final[3], dfinal[3], dinitial[3];
    std::vector<S> gates, kept, dgates, dcarried, dh, dkept, dvectors, dweight_ih, dbias_ih, dweight_output;
    Index biased;
    std::unique_ptr<const ElementwisePacked<S>> packed;

    /// States are of `count` sequences.
    Side(const ElementwiseSpec& spec, Index count, Index all) {
        const Index H = spec.hidden, rows = spec.products() * H;
        biased = draw(0, spec.products());
        weight_ih = normal<S>(rows * spec.input), bias_ih = normal<S>(biased * H);
        if (spec.is_mapped()) weight_output = normal<S>(2 * H * H);
        // below 1 and, for RG-LRU, negative
        vectors = normal<S>(spec.vectors() * H, 0.2);
        for (S& v : vectors) v = spec.kind == Recurrence::rglru ? -std::abs(v) : v;
        for (Index k = 0; k < spec.states(); ++k) {
            initial[k] = normal<S>(count * H), dfinal[k] = normal<S>(count * H);
            final[k] = dinitial[k] = poisoned<S>(count * H);
        }
        gates = dgates = poisoned<S>(all * rows);
        if (spec.hides_state()) kept = poisoned<S>(all * spec.carried() * H);
        if (spec.carries_input) dcarried = poisoned<S>(all * H);
        if (spec.is_mapped()) dh = poisoned<S>(all * H), dkept = poisoned<S>(all * 2 * H);
        dvectors = poisoned<S>(spec.vectors() * count * H);
        dweight_ih = poisoned<S>(rows * spec.input), dbias_ih = poisoned<S>(rows);
        dweight_output = poisoned<S>(static_cast<Index>(weight_output.size()));
        packed = std::make_unique<const ElementwisePacked<S>>(
            spec, ElementwiseWeights<S>{weight_ih.data(), or_null(bias_ih), biased, or_null(weight_output)});
    }
};

/// The sequences of a batch: one in each row, or some documents packed into it.
std::vector<Sequence> draw_sequences(Index time, Index batch, bool is_ragged, bool has_documents) {
    std::vector<Sequence> sequences;
    for (Index b = 0; b < batch; ++b) {
        const Index end = is_ragged ? draw(0, time) : time;
        Index begin = 0;
        for (Index t = 1; has_documents && t < end; ++t)
            if (draw(0, 3) == 0) sequences.push_back({b, begin, t - begin}), begin = t;
        sequences.push_back({b, begin, end - begin});
    }
    return sequences;
}

/// A random call and all that it writes.
template <class S>
struct Problem {
    ElementwiseSpec spec = draw_spec();
    bool is_ragged = draw(0, 1) == 1, has_documents = draw(0, 2) == 0;
    Index time = draw(1, draw(0, 3) == 0 ? 90 : 12), batch = draw(0, 9), directions = draw(1, 2);
    std::vector<Sequence> sequences = draw_sequences(time, batch, is_ragged, has_documents);
    Plan plan{time, batch, sequences.data(), static_cast<Index>(sequences.size())};
    std::vector<std::unique_ptr<Side<S>>> sides;
    std::vector<S> x, dout, out, dx;

    Problem() {
        const auto count = static_cast<Index>(sequences.size());
        for (Index i = 0; i < directions; ++i) sides.push_back(std::make_unique<Side<S>>(spec, count, plan.all()));
        const Index inputs = time * batch * spec.input, outputs = time * batch * directions * spec.hidden;
        x = normal<S>(inputs), dout = normal<S>(outputs), out = poisoned<S>(outputs), dx = poisoned<S>(inputs);
    }

    ElementwiseForward<S> forward(bool training) {
        ElementwiseForward<S> call;
        const Index H = spec.hidden, width = directions * H;
        call.spec = spec, call.schedule = plan.schedule(), call.directions = directions;
        call.x = x.data(), call.x_time = batch * spec.input, call.x_batch = spec.input;
        call.out = out.data(), call.out_time = batch * width, call.out_batch = width;
        for (Index i = 0; i < directions; ++i) {
            Side<S>& side = *sides[static_cast<std::size_t>(i)];
            ElementwiseForwardDirection<S>& d = call.direction[i];
            d.reverse = i == 1, d.column = i * H;
            d.packed = side.packed->blocks(), d.output_packed = side.packed->output();
            d.vectors = {or_null(side.vectors), 0, H};
            for (Index k = 0; k < spec.states(); ++k) d.initial[k] = side.initial[k].data(), d.final[k] = side.final[k].data();
            if (training) d.gates = side.gates.data(), d.kept = or_null(side.kept);
        }
        return call;
    }

    ElementwiseBackward<S> backward(const ElementwiseForward<S>& forward) {
        ElementwiseBackward<S> call;
        call.spec = spec, call.schedule = forward.schedule, call.directions = directions;
        call.x = x.data(), call.x_time = forward.x_time, call.x_batch = forward.x_batch;
        call.out = out.data(), call.out_time = forward.out_time, call.out_batch = forward.out_batch;
        call.dout = dout.data(), call.dout_time = forward.out_time, call.dout_batch = forward.out_batch;
        call.dx = dx.data(), call.dx_time = forward.x_time, call.dx_batch = forward.x_batch;
        for (Index i = 0; i < directions; ++i) {
            Side<S>& side = *sides[static_cast<std::size_t>(i)];
            ElementwiseBackwardDirection<S>& d = call.direction[i];
            const ElementwiseForwardDirection<S>& f = forward.direction[i];
            d.reverse = f.reverse, d.column = f.column, d.vectors = f.vectors;
            d.weight_ih = side.weight_ih.data(), d.weight_output = or_null(side.weight_output);
            for (Index k = 0; k < spec.states(); ++k) {
                d.initial[k] = f.initial[k], d.dfinal[k] = side.dfinal[k].data();
                d.dinitial[k] = side.dinitial[k].data();
            }
            d.gates = side.gates.data(), d.kept = or_null(side.kept);
            d.dgates = side.dgates.data(), d.dcarried = or_null(side.dcarried);
            d.dh = or_null(side.dh), d.dkept = or_null(side.dkept), d.dvectors = or_null(side.dvectors);
            d.dweight_ih = side.dweight_ih.data(), d.dbias_ih = side.dbias_ih.data();
            d.dweight_output = or_null(side.dweight_output);
        }
        return call;
    }

    /// Everything that a pass has computed.
    std::vector<S> results() const {
        std::vector<S> all = out;
        const auto add = [&](const std::vector<S>& v) { all.insert(all.end(), v.begin(), v.end()); };
        add(dx);
        for (const auto& side : sides) {
            for (Index k = 0; k < spec.states(); ++k) add(side->final[k]), add(side->dinitial[k]);
            for (const auto* v : {&side->dvectors, &side->dweight_ih, &side->dbias_ih, &side->dweight_output}) add(*v);
        }
        return all;
    }
};

/// Runs a call of one step for each step of a sequence, and requires that they end where the sequence does.
template <class S>
void require_equal_steps(Problem<S>& problem) {
    if (problem.is_ragged || problem.has_documents || problem.directions == 2) return;
    const ElementwiseSpec& spec = problem.spec;
    const Index H = spec.hidden, batch = problem.batch;
    Side<S>& side = *problem.sides[0];
    const Plan plan(1, batch, nullptr);
    std::vector<S> states[3], next[3], y = poisoned<S>(batch * H);
    for (Index k = 0; k < spec.states(); ++k) states[k] = side.initial[k], next[k] = poisoned<S>(batch * H);
    for (Index t = 0; t < problem.time; ++t) {
        std::vector<S> x(problem.x.begin() + t * batch * spec.input, problem.x.begin() + (t + 1) * batch * spec.input);
        ElementwiseForward<S> call = problem.forward(false);
        call.schedule = plan.schedule(), call.x = x.data(), call.out = y.data();
        for (Index k = 0; k < spec.states(); ++k)
            call.direction[0].initial[k] = states[k].data(), call.direction[0].final[k] = next[k].data();
        run_elementwise_forward(call, side.packed->kernels(), 1);
        for (Index k = 0; k < spec.states(); ++k) std::swap(states[k], next[k]);
        for (Index i = 0; i < batch * H; ++i)
            require(y[static_cast<std::size_t>(i)] == problem.out[static_cast<std::size_t>(t * batch * H + i)],
                    "steps and the sequence differ");
    }
    for (Index k = 0; k < spec.states(); ++k) require(states[k] == side.final[k], "final states differ");
}

template <class S>
void passes() {
    Problem<S> problem;
    const Kernels<S>& kernels = problem.sides[0]->packed->kernels();
    std::vector<S> first, inferred;
    for (Index threads = 1; threads <= 3; ++threads) {
        const ElementwiseForward<S> forward = problem.forward(true);
        run_elementwise_forward(forward, kernels, threads);
        run_elementwise_backward(problem.backward(forward), kernels, threads);
        const std::vector<S> results = problem.results();
        for (S value : results) require(std::isfinite(value), "a result is not finite");
        require(threads == 1 || results == first, "the number of threads changes a bit");
        first = results;
        problem.out = poisoned<S>(static_cast<Index>(problem.out.size()));
        run_elementwise_forward(problem.forward(false), kernels, threads);
        require(problem.results() == first, "training and inference differ");
    }
    require_equal_steps(problem);
}

}  // namespace

int main(int count, char** words) {
    const int rounds = count > 1 ? std::atoi(words[1]) : 100;
    if (count > 2) source.seed(static_cast<unsigned>(std::atoi(words[2])));
    for (const Variant* each : variants()) {
        require(use_variant(each->name), "a variant can't be chosen");
        for (int i = 0; i < rounds; ++i) {
            passes<float>();
            passes<double>();
        }
        std::printf("%s: %d random elementwise problems of each type\n", each->name, rounds);
    }
    return 0;
}
