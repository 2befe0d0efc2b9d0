// Runs random shapes through every kernel of every instruction set of this machine, under the sanitizers:
//
//     cmake -B build/sanitize -DUNROLLED_SANITIZE=ON -DUNROLLED_MODULE=OFF && cmake --build build/sanitize
//     build/sanitize/random_shapes 200        the number of rounds; a second number is the seed
//
// `make sanitize` does that. For another processor, without the sanitizers: -DUNROLLED_CHECK=ON, a cross compiler, and
// an emulator to run it.
//
// Every array is a heap block of exactly the size that the contract gives it, so that an access beyond it is noticed.
// Values are only required to be finite, and equal between a whole sequence and its single steps; tests/kernels
// compares them with the scan.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "driver/stack.hpp"

namespace {

using namespace unrolled;

std::mt19937 source{1};

Index draw(Index low, Index high) { return std::uniform_int_distribution<Index>(low, high)(source); }

template <class S>
std::vector<S> normal(Index count) {
    std::normal_distribution<double> bell(0.0, 0.5);
    std::vector<S> v(static_cast<std::size_t>(count));
    for (S& x : v) x = static_cast<S>(bell(source));
    return v;
}

template <class S>
std::vector<S> poisoned(Index count) {
    return std::vector<S>(static_cast<std::size_t>(count), static_cast<S>(NAN));
}

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "random_shapes: %s\n", what);
    std::exit(1);
}

template <class S>
void require_finite(const std::vector<S>& v, const char* what) {
    for (S x : v) require(std::isfinite(x), what);
}

Spec draw_spec() {
    Spec spec;
    spec.kind = static_cast<Kind>(draw(0, 2));
    spec.nonlinearity = static_cast<Nonlinearity>(draw(0, 2));
    spec.input = draw(1, 40);
    spec.hidden = spec.output = draw(1, 70);
    if (spec.kind == Kind::lstm) {
        spec.coupled = draw(0, 1) == 1;
        spec.peephole = draw(0, 1) == 1;
        if (spec.hidden > 1 && draw(0, 1) == 1) spec.output = draw(1, spec.hidden - 1);
    }
    spec.reset_after = spec.kind != Kind::gru || draw(0, 1) == 1;
    // now and then enough work for the helper to be asked
    if (draw(0, 3) == 0) spec.input = draw(41, 90), spec.hidden = draw(71, 150);
    if (draw(0, 3) == 0 || spec.hidden > 70) spec.output = spec.hidden;
    return spec;
}

/// A cell that can be trained.
template <class S>
Spec draw_trained_spec() {
    Spec spec = draw_spec();
    if (sizeof(S) == sizeof(float) && draw(0, 1) == 1) spec.products = Products::narrow;
    return spec;
}

std::vector<std::int64_t> draw_lengths(Index time, Index batch) {
    std::vector<std::int64_t> lengths;
    for (Index b = 0; b < batch; ++b) lengths.push_back(draw(0, time));
    return lengths;
}

/// The sequences of a batch: one in each row, or some documents packed into it.
std::vector<Sequence> draw_sequences(Index time, Index batch, bool is_ragged, bool has_documents) {
    const auto lengths = draw_lengths(time, batch);
    std::vector<Sequence> sequences;
    for (Index b = 0; b < batch; ++b) {
        const Index end = is_ragged ? lengths[static_cast<std::size_t>(b)] : time;
        Index begin = 0;
        for (Index t = 1; has_documents && t < end; ++t)
            if (draw(0, 3) == 0) sequences.push_back({b, begin, t - begin}), begin = t;
        sequences.push_back({b, begin, end - begin});
    }
    return sequences;
}

/// One direction's arrays.
template <class S>
struct Side {
    std::vector<S> weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole;
    std::vector<S> h_0, c_0, h_n, c_n, gates, cells, dh_n, dc_n, dgates, dh, dh_0, dc_0, mask;
    std::vector<S> dweight_ih, dweight_hh, dbias_ih, dbias_hh, dweight_hr, dpeephole;
    std::vector<std::uint8_t> keep_h, keep_c;
    std::shared_ptr<const Packed<S>> packed;

    /// Masks are of `batch` rows, states of `count` sequences.
    Side(const Spec& spec, Index time, Index batch, Index count, Index all) {
        const Index H = spec.hidden, P = spec.output, rows = spec.gates() * H;
        weight_ih = normal<S>(rows * spec.input), weight_hh = normal<S>(rows * P);
        bias_ih = normal<S>(rows), bias_hh = normal<S>(rows);
        if (spec.is_projected()) weight_hr = normal<S>(P * H);
        if (spec.peephole) peephole = normal<S>(rows - H);
        h_0 = normal<S>(count * P), c_0 = normal<S>(count * H);
        h_n = poisoned<S>(count * P), c_n = poisoned<S>(count * H);
        gates = poisoned<S>(all * spec.saved_gates() * H), cells = poisoned<S>(all * H);
        dh_n = normal<S>(count * P), dc_n = normal<S>(count * H);
        dgates = poisoned<S>(all * spec.dgates() * H), dh = poisoned<S>(all * P);
        dh_0 = poisoned<S>(count * P), dc_0 = poisoned<S>(count * H);
        dweight_ih = poisoned<S>(rows * spec.input), dweight_hh = poisoned<S>(rows * P);
        dbias_ih = poisoned<S>(rows), dbias_hh = poisoned<S>(rows);
        dweight_hr = poisoned<S>(static_cast<Index>(weight_hr.size()));
        dpeephole = poisoned<S>(static_cast<Index>(peephole.size()));
        if (draw(0, 2) == 0) {
            mask = normal<S>(batch * P);
            for (Index i = 0; i < time * batch * P; ++i) keep_h.push_back(static_cast<std::uint8_t>(draw(0, 1)));
            for (Index i = 0; i < time * batch * H; ++i) keep_c.push_back(static_cast<std::uint8_t>(draw(0, 1)));
        }
        packed = std::make_shared<const Packed<S>>(spec, parameters());
    }

    Parameters<S> parameters() const {
        const auto or_null = [](const std::vector<S>& v) { return v.empty() ? nullptr : v.data(); };
        return {weight_ih.data(), weight_hh.data(),   bias_ih.data(),
                bias_hh.data(),   or_null(weight_hr), or_null(peephole)};
    }

    Regularisers<S> masks(const Spec& spec) const {
        Regularisers<S> r;
        if (mask.empty()) return r;
        r.recurrent = mask.data(), r.keep_h = keep_h.data();
        r.keep_c = spec.has_cell_state() ? keep_c.data() : nullptr;
        return r;
    }
};

/// One step of some streams, each row of x and y its own heap block.
template <class S>
void step_rows(const Stack<S>& stack, const std::vector<StreamStates<S>*>& streams, const S* x, S* y, Index threads) {
    Index batch = 0;
    for (const auto* stream : streams) batch += stream->batch();
    std::vector<std::vector<S>> in, out;
    StackRows<S> rows;
    for (Index b = 0; b < batch; ++b) {
        in.emplace_back(x + b * stack.input(), x + (b + 1) * stack.input());
        out.push_back(poisoned<S>(stack.output()));
    }
    for (Index b = 0; b < batch; ++b) {
        rows.x.push_back(in[static_cast<std::size_t>(b)].data());
        rows.y.push_back(out[static_cast<std::size_t>(b)].data());
    }
    for (std::size_t layer = 0; layer < stack.layers.size(); ++layer)
        for (const auto* stream : streams) stream->add_rows(layer, rows);
    run_stack(stack, rows, threads);
    for (auto* stream : streams) stream->advance();
    for (Index b = 0; b < batch; ++b)
        for (Index i = 0; i < stack.output(); ++i)
            y[b * stack.output() + i] = out[static_cast<std::size_t>(b)][static_cast<std::size_t>(i)];
}

/// Random sizes and arrays of a call, with both directions' sides.
template <class S>
struct Problem {
    Spec spec = draw_trained_spec<S>();
    // now and then a few longer sequences, which two threads share step by step
    bool is_long = draw(0, 3) == 0, is_ragged = draw(0, 1) == 1, has_documents = draw(0, 2) == 0;
    Index time = draw(1, 12) * (is_long ? 4 : 1), batch = is_long ? draw(1, 4) : draw(0, 14);
    Index directions = draw(1, is_long ? 1 : 2), threads = draw(1, 3);
    std::vector<Sequence> sequences = draw_sequences(time, batch, is_ragged, has_documents);
    Index count = static_cast<Index>(sequences.size());
    Plan plan{time, batch, sequences.data(), count};
    std::vector<std::unique_ptr<Side<S>>> sides;
    std::vector<S> x, dout, out, dx;

    Problem() {
        for (Index i = 0; i < directions; ++i)
            sides.push_back(std::make_unique<Side<S>>(spec, time, batch, count, plan.all()));
        const Index inputs = time * batch * spec.input, outputs = time * batch * directions * spec.output;
        x = normal<S>(inputs), dout = normal<S>(outputs), out = poisoned<S>(outputs), dx = poisoned<S>(inputs);
    }

    Forward<S> forward() {
        Forward<S> call;
        const Index width = directions * spec.output;
        call.spec = spec, call.schedule = plan.schedule(), call.directions = directions;
        call.x = x.data(), call.x_time = batch * spec.input, call.x_batch = spec.input;
        call.out = out.data(), call.out_time = batch * width, call.out_batch = width;
        const bool has_c = spec.has_cell_state();
        for (Index i = 0; i < directions; ++i) {
            Side<S>& side = *sides[static_cast<std::size_t>(i)];
            ForwardDirection<S>& d = call.direction[i];
            d.reverse = i == 1, d.column = i * spec.output, d.masks = side.masks(spec);
            d.gates_packed = side.packed->gates(), d.projection_packed = side.packed->projection();
            d.peephole = side.packed->peephole();
            d.h_0 = side.h_0.data(), d.h_n = side.h_n.data();
            d.c_0 = has_c ? side.c_0.data() : nullptr, d.c_n = has_c ? side.c_n.data() : nullptr;
            d.saved_gates = spec.saved_gates() ? side.gates.data() : nullptr;
            d.saved_cells = has_c ? side.cells.data() : nullptr;
        }
        return call;
    }

    Backward<S> backward(const Forward<S>& forward) {
        Backward<S> call;
        call.spec = spec, call.schedule = plan.schedule(), call.directions = directions;
        call.x = x.data(), call.x_time = forward.x_time, call.x_batch = forward.x_batch;
        call.out = out.data(), call.out_time = forward.out_time, call.out_batch = forward.out_batch;
        call.dout = dout.data(), call.dout_time = forward.out_time, call.dout_batch = forward.out_batch;
        call.dx = dx.data(), call.dx_time = forward.x_time, call.dx_batch = forward.x_batch;
        const bool has_c = spec.has_cell_state();
        for (Index i = 0; i < directions; ++i) {
            Side<S>& side = *sides[static_cast<std::size_t>(i)];
            const ForwardDirection<S>& f = forward.direction[i];
            BackwardDirection<S>& d = call.direction[i];
            d.reverse = f.reverse, d.column = f.column, d.masks = f.masks, d.parameters = side.parameters();
            d.h_0 = f.h_0, d.c_0 = f.c_0, d.saved_gates = side.gates.data(), d.saved_cells = side.cells.data();
            d.dh_n = side.dh_n.data(), d.dc_n = has_c ? side.dc_n.data() : nullptr;
            d.dgates = side.dgates.data(), d.dh = spec.is_projected() ? side.dh.data() : nullptr;
            d.dh_0 = side.dh_0.data(), d.dc_0 = has_c ? side.dc_0.data() : nullptr;
            d.dweight_ih = side.dweight_ih.data(), d.dweight_hh = side.dweight_hh.data();
            d.dbias_ih = side.dbias_ih.data(), d.dbias_hh = side.dbias_hh.data();
            d.dweight_hr = side.dweight_hr.empty() ? nullptr : side.dweight_hr.data();
            d.dweight_peephole = side.dpeephole.empty() ? nullptr : side.dpeephole.data();
        }
        return call;
    }

    void require_all_finite() const {
        require_finite(out, "an output is not finite");
        require_finite(dx, "dx is not finite");
        for (const auto& side : sides) {
            for (const auto* v : {&side->h_n, &side->dh_0, &side->dweight_ih, &side->dweight_hh, &side->dbias_ih,
                                  &side->dbias_hh, &side->dweight_hr, &side->dpeephole})
                require_finite(*v, "a state or gradient is not finite");
            if (spec.has_cell_state()) require_finite(side->c_n, "c_n is not finite");
        }
    }

    /// Requires that single steps end in the states of the whole sequence.
    void require_equal_steps() const {
        const Side<S>& first = *sides[0];
        if (is_ragged || has_documents || !first.mask.empty()) return;
        const bool has_c = spec.has_cell_state();
        Stack<S> stack;
        stack.layers.push_back(first.packed);
        StreamStates<S> states(stack, batch);
        states.read(first.h_0.data(), has_c ? first.c_0.data() : nullptr);
        std::vector<S> h = poisoned<S>(batch * spec.output), c = poisoned<S>(batch * spec.hidden), y = h;
        for (Index t = 0; t < time; ++t)
            step_rows(stack, {&states}, x.data() + t * batch * spec.input, y.data(), threads);
        states.write(h.data(), has_c ? c.data() : nullptr);
        require(h == first.h_n, "steps and the sequence differ");
        require(directions == 2 || y == h, "a step's output is not its state");
    }
};

/// A forward and a backward pass, and the same sequence step by step.
template <class S>
void passes() {
    Problem<S> problem;
    const Forward<S> forward = problem.forward();
    run_forward(forward, problem.sides[0]->packed->kernels(), problem.threads);
    Backward<S> backward = problem.backward(forward);
    run_backward(backward, problem.threads);
    problem.require_all_finite();
    problem.require_equal_steps();
}

/// Streams of a stack of layers, together and each alone: the same bits.
template <class S>
void streams() {
    Spec spec = draw_spec();
    if (sizeof(S) == sizeof(float)) spec.products = static_cast<Products>(draw(0, 2));
    const Index layers = draw(1, 3), threads = draw(1, 3);
    Stack<S> stack;
    stack.residual = draw(0, 1) == 1;
    for (Index i = 0; i < layers; ++i) {
        if (i > 0) spec.input = spec.output;
        const Side<S> side(spec, 1, 0, 0, 0);
        stack.layers.push_back(side.packed);
    }
    std::vector<std::unique_ptr<StreamStates<S>>> together, alone;
    std::vector<StreamStates<S>*> all;
    Index rows = 0;
    for (Index i = draw(1, 5); i > 0; --i) {
        const Index batch = draw(1, 3);
        const auto h = normal<S>(layers * batch * stack.output()), c = normal<S>(layers * batch * stack.hidden());
        for (auto* group : {&together, &alone}) {
            group->push_back(std::make_unique<StreamStates<S>>(stack, batch));
            group->back()->read(h.data(), c.data());
        }
        all.push_back(together.back().get());
        rows += batch;
    }
    for (Index step = 0; step < 3; ++step) {
        const auto x = normal<S>(rows * stack.input());
        auto y = poisoned<S>(rows * stack.output()), z = y;
        step_rows(stack, all, x.data(), y.data(), threads);
        Index row = 0;
        for (const auto& stream : alone) {
            step_rows(stack, {stream.get()}, x.data() + row * stack.input(), z.data() + row * stack.output(), threads);
            row += stream->batch();
        }
        require_finite(y, "a stream's output is not finite");
        require(y == z, "streams together and alone differ");
    }
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
            streams<float>();
            streams<double>();
        }
        std::printf("%s: %d random problems of each type\n", each->name, rounds);
    }
    return 0;
}
