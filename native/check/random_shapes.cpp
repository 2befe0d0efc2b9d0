// Random shapes through every kernel of every instruction set of this machine, for the sanitizers to watch:
//
//     cmake -B build/sanitize -DUNROLLED_SANITIZE=ON -DUNROLLED_MODULE=OFF && cmake --build build/sanitize
//     build/sanitize/random_shapes 200        the rounds; a second number seeds them
//
// `make sanitize` does that. For another processor, without the sanitizers: -DUNROLLED_CHECK=ON, a cross compiler, and
// an emulator to run it.
//
// Every array is its own heap block of exactly the size the contract gives it, so that a byte too far is seen. Values
// are only required to be finite, and equal between a whole sequence and its single steps; tests/kernels holds them
// to the scan.
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

/// One direction's arrays.
template <class S>
struct Side {
    std::vector<S> weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole;
    std::vector<S> h_0, c_0, h_n, c_n, gates, cells, dh_n, dc_n, dgates, dh, dh_0, dc_0, mask;
    std::vector<S> dweight_ih, dweight_hh, dbias_ih, dbias_hh, dweight_hr, dpeephole;
    std::vector<std::uint8_t> keep_h, keep_c;
    std::shared_ptr<const Packed<S>> packed;

    Side(const Spec& spec, Index time, Index batch, Index all) {
        const Index H = spec.hidden, P = spec.output, rows = spec.gates() * H;
        weight_ih = normal<S>(rows * spec.input), weight_hh = normal<S>(rows * P);
        bias_ih = normal<S>(rows), bias_hh = normal<S>(rows);
        if (spec.is_projected()) weight_hr = normal<S>(P * H);
        if (spec.peephole) peephole = normal<S>(rows - H);
        h_0 = normal<S>(batch * P), c_0 = normal<S>(batch * H);
        h_n = poisoned<S>(batch * P), c_n = poisoned<S>(batch * H);
        gates = poisoned<S>(all * spec.saved_gates() * H), cells = poisoned<S>(all * H);
        dh_n = normal<S>(batch * P), dc_n = normal<S>(batch * H);
        dgates = poisoned<S>(all * spec.dgates() * H), dh = poisoned<S>(all * P);
        dh_0 = poisoned<S>(batch * P), dc_0 = poisoned<S>(batch * H);
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
    for (const auto* one : streams) batch += one->batch();
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
        for (const auto* one : streams) one->add_rows(layer, rows);
    run_stack(stack, rows, threads);
    for (auto* one : streams) one->advance();
    for (Index b = 0; b < batch; ++b)
        for (Index i = 0; i < stack.output(); ++i)
            y[b * stack.output() + i] = out[static_cast<std::size_t>(b)][static_cast<std::size_t>(i)];
}

template <class S>
void round_trip() {
    const Spec spec = draw_spec();
    // now and then a few longer sequences, which two threads share step by step
    const bool is_long = draw(0, 3) == 0;
    const Index T = draw(1, 12) * (is_long ? 4 : 1), B = is_long ? draw(1, 4) : draw(0, 14);
    const Index D = draw(1, is_long ? 1 : 2), H = spec.hidden, P = spec.output, threads = draw(1, 3);
    std::vector<std::int64_t> lengths;
    for (Index b = 0; b < B; ++b) lengths.push_back(draw(0, T));
    const bool is_ragged = draw(0, 1) == 1;
    const Plan plan(T, B, is_ragged ? lengths.data() : nullptr);
    std::vector<std::unique_ptr<Side<S>>> sides;
    for (Index i = 0; i < D; ++i) sides.push_back(std::make_unique<Side<S>>(spec, T, B, plan.all()));
    const std::vector<S> x = normal<S>(T * B * spec.input), dout = normal<S>(T * B * D * P);
    std::vector<S> out = poisoned<S>(T * B * D * P), dx = poisoned<S>(T * B * spec.input);

    Forward<S> forward;
    forward.spec = spec, forward.schedule = plan.schedule(), forward.directions = D;
    forward.x = x.data(), forward.x_time = B * spec.input, forward.x_batch = spec.input;
    forward.out = out.data(), forward.out_time = B * D * P, forward.out_batch = D * P;
    Backward<S> backward;
    backward.spec = spec, backward.schedule = plan.schedule(), backward.directions = D;
    backward.x = x.data(), backward.x_time = forward.x_time, backward.x_batch = forward.x_batch;
    backward.out = out.data(), backward.out_time = forward.out_time, backward.out_batch = forward.out_batch;
    backward.dout = dout.data(), backward.dout_time = forward.out_time, backward.dout_batch = forward.out_batch;
    backward.dx = dx.data(), backward.dx_time = forward.x_time, backward.dx_batch = forward.x_batch;
    const bool has_c = spec.has_cell_state();
    for (Index i = 0; i < D; ++i) {
        Side<S>& side = *sides[static_cast<std::size_t>(i)];
        ForwardDirection<S>& f = forward.direction[i];
        f.reverse = i == 1, f.column = i * P, f.masks = side.masks(spec);
        f.gates_packed = side.packed->gates(), f.projection_packed = side.packed->projection(),
        f.peephole = side.packed->peephole();
        f.h_0 = side.h_0.data(), f.h_n = side.h_n.data();
        f.c_0 = has_c ? side.c_0.data() : nullptr, f.c_n = has_c ? side.c_n.data() : nullptr;
        f.saved_gates = spec.saved_gates() ? side.gates.data() : nullptr,
        f.saved_cells = has_c ? side.cells.data() : nullptr;
        BackwardDirection<S>& b = backward.direction[i];
        b.reverse = f.reverse, b.column = f.column, b.masks = f.masks, b.parameters = side.parameters();
        b.h_0 = f.h_0, b.c_0 = f.c_0, b.saved_gates = side.gates.data(), b.saved_cells = side.cells.data();
        b.dh_n = side.dh_n.data(), b.dc_n = has_c ? side.dc_n.data() : nullptr;
        b.dgates = side.dgates.data(), b.dh = spec.is_projected() ? side.dh.data() : nullptr;
        b.dh_0 = side.dh_0.data(), b.dc_0 = has_c ? side.dc_0.data() : nullptr;
        b.dweight_ih = side.dweight_ih.data(), b.dweight_hh = side.dweight_hh.data();
        b.dbias_ih = side.dbias_ih.data(), b.dbias_hh = side.dbias_hh.data();
        b.dweight_hr = side.dweight_hr.empty() ? nullptr : side.dweight_hr.data();
        b.dweight_peephole = side.dpeephole.empty() ? nullptr : side.dpeephole.data();
    }
    run_forward(forward, sides[0]->packed->kernels(), threads);
    run_backward(backward, threads);
    require_finite(out, "an output is not finite");
    require_finite(dx, "dx is not finite");
    for (const auto& side : sides) {
        for (const auto* v : {&side->h_n, &side->dh_0, &side->dweight_ih, &side->dweight_hh, &side->dbias_ih,
                              &side->dbias_hh, &side->dweight_hr, &side->dpeephole})
            require_finite(*v, "a state or gradient is not finite");
        if (has_c) require_finite(side->c_n, "c_n is not finite");
    }

    const Side<S>& first = *sides[0];
    if (is_ragged || !first.mask.empty()) return;
    Stack<S> stack;
    stack.layers.push_back(first.packed);
    StreamStates<S> states(stack, B);
    states.read(first.h_0.data(), has_c ? first.c_0.data() : nullptr);
    std::vector<S> h = poisoned<S>(B * P), c = poisoned<S>(B * H), y = poisoned<S>(B * P);
    for (Index t = 0; t < T; ++t) step_rows(stack, {&states}, x.data() + t * B * spec.input, y.data(), threads);
    states.write(h.data(), has_c ? c.data() : nullptr);
    require(h == first.h_n, "steps and the sequence differ");
    require(D == 2 || y == h, "a step's output is not its state");
}

/// Streams of a stack of layers, together and each alone: the same bits.
template <class S>
void streams() {
    Spec spec = draw_spec();
    spec.narrow = sizeof(S) == sizeof(float) && draw(0, 1) == 1;
    const Index layers = draw(1, 3), threads = draw(1, 3);
    Stack<S> stack;
    stack.residual = draw(0, 1) == 1;
    for (Index i = 0; i < layers; ++i) {
        if (i > 0) spec.input = spec.output;
        const Side<S> side(spec, 1, 0, 0);
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
        for (const auto& one : alone) {
            step_rows(stack, {one.get()}, x.data() + row * stack.input(), z.data() + row * stack.output(), threads);
            row += one->batch();
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
            round_trip<float>();
            round_trip<double>();
            streams<float>();
            streams<double>();
        }
        std::printf("%s: %d random problems of each type\n", each->name, rounds);
    }
    return 0;
}
