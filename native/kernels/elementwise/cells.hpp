// One step of each elementwise cell and one step back, for one vector of units. Equations: src/unrolled/cells;
// derivations: docs/derivations.
//
// g are the inputs of the gates, v the vectors that all steps share, and `state` the carried states, which a step
// replaces. A step returns h where h is not the state itself, and the state otherwise. On the way back, `back` gets the
// previous states and the gradient of h, where it is not the state itself; d, the gradient of the new states, becomes
// that of the previous ones. dg are the gradients of the gates' inputs, and dv is added to those of v.
#pragma once

#include "recurrence.hpp"
#include "kernels/rows.hpp"

namespace unrolled::UNROLLED_ISA {

/// σ(x) and 1 − σ(x) = σ(−x), both with all their digits.
template <class S>
struct Gate {
    Vec<S> open, shut;
};

/// e^x, with x limited to what it is finite for.
template <class S>
UNROLLED_INLINE Vec<S> limited_exp(Vec<S> x) {
    const ExpParts<S> e = exp_parts<S>(clamp<S>(x, -ExpConstants<S>::limit, ExpConstants<S>::limit));
    return e.scale * e.rest + e.scale;
}

template <class S>
UNROLLED_INLINE Gate<S> gate(Vec<S> x) {
    const Vec<S> e = limited_exp<S>(-x), open = S(1) / (e + S(1));
    return {open, e * open};
}

template <class S>
UNROLLED_INLINE Vec<S> square_root(Vec<S> x) {
    Vec<S> y;
    for (Index i = 0; i < kLanes<S>; ++i) y[i] = __builtin_sqrt(x[i]);
    return y;
}

/// h = (1 − z) ⊙ h′ + z ⊙ n.
template <class S>
struct MinGru {
    static constexpr int gates = 2, states = 1, vectors = 0;
    static constexpr bool hides_state = false;

    UNROLLED_INLINE Vec<S> step(const Vec<S>* g, const Vec<S>*, Vec<S>* state) const {
        const Gate<S> z = gate<S>(g[0]);
        return state[0] = z.shut * state[0] + z.open * g[1];
    }
    UNROLLED_INLINE void back(const Vec<S>* g, const Vec<S>*, const Vec<S>* previous, Vec<S>, Vec<S>* d, Vec<S>* dg,
                              Vec<S>*) const {
        const Gate<S> z = gate<S>(g[0]);
        dg[0] = d[0] * (g[1] - previous[0]) * z.open * z.shut;
        dg[1] = d[0] * z.open;
        d[0] = d[0] * z.shut;
    }
};

/// h = f ⊙ h′ + i ⊙ g with f and i divided by their sum.
template <class S>
struct MinLstm {
    static constexpr int gates = 3, states = 1, vectors = 0;
    static constexpr bool hides_state = false;

    struct Gates {
        Vec<S> f, i, f_shut, i_shut;
    };
    /// Where both gates are shut so far that their sum has no number, both are opened alike; as cells/minlstm.py.
    UNROLLED_INLINE static Gates gates_of(Vec<S> x_f, Vec<S> x_i) {
        const Vec<S> larger = x_f > x_i ? x_f : x_i;
        const Vec<S> raised = larger < S(-40) ? S(-40) - larger : Vec<S>{};
        const Vec<S> e_f = limited_exp<S>(-(x_f + raised)), e_i = limited_exp<S>(-(x_i + raised));
        // 1/σ(x) = 1 + e^{−x}
        const Vec<S> by_f = e_f + S(1), by_i = e_i + S(1), total = S(1) / (by_f + by_i);
        return {by_i * total, by_f * total, e_f / by_f, e_i / by_i};
    }
    UNROLLED_INLINE Vec<S> step(const Vec<S>* g, const Vec<S>*, Vec<S>* state) const {
        const Gates of = gates_of(g[0], g[1]);
        return state[0] = of.f * state[0] + of.i * g[2];
    }
    UNROLLED_INLINE void back(const Vec<S>* g, const Vec<S>*, const Vec<S>* previous, Vec<S>, Vec<S>* d, Vec<S>* dg,
                              Vec<S>*) const {
        const Gates of = gates_of(g[0], g[1]);
        const Vec<S> dquotient = d[0] * (previous[0] - g[2]) * of.f * of.i;
        dg[0] = dquotient * of.f_shut;
        dg[1] = -dquotient * of.i_shut;
        dg[2] = d[0] * of.i;
        d[0] = d[0] * of.f;
    }
};

/// c = f ⊙ c′ + (1 − f) ⊙ g;  h = r ⊙ c + (1 − r) ⊙ αu. v: the peepholes of f and r.
template <class S>
struct Sru {
    static constexpr int gates = 4, states = 1, vectors = 2;
    static constexpr bool hides_state = true;
    S scale;

    UNROLLED_INLINE Vec<S> step(const Vec<S>* g, const Vec<S>* v, Vec<S>* state) const {
        const Gate<S> f = gate<S>(g[0] + v[0] * state[0]), r = gate<S>(g[1] + v[1] * state[0]);
        state[0] = f.open * state[0] + f.shut * g[2];
        return r.open * state[0] + r.shut * (g[3] * scale);
    }
    UNROLLED_INLINE void back(const Vec<S>* g, const Vec<S>* v, const Vec<S>* previous, Vec<S> dh, Vec<S>* d,
                              Vec<S>* dg, Vec<S>* dv) const {
        const Vec<S> c_prev = previous[0];
        const Gate<S> f = gate<S>(g[0] + v[0] * c_prev), r = gate<S>(g[1] + v[1] * c_prev);
        const Vec<S> c = f.open * c_prev + f.shut * g[2];
        const Vec<S> dc = d[0] + dh * r.open;
        dg[0] = dc * (c_prev - g[2]) * f.open * f.shut;
        dg[1] = dh * (c - g[3] * scale) * r.open * r.shut;
        dg[2] = dc * f.shut;
        dg[3] = dh * r.shut * scale;
        d[0] = dc * f.open + dg[0] * v[0] + dg[1] * v[1];
        dv[0] = dv[0] + dg[0] * c_prev;
        dv[1] = dv[1] + dg[1] * c_prev;
    }
};

/// h = a ⊙ h′ + √(1 − a²) ⊙ i ⊙ u with a = e^{v r}; v = ln a where r is 1.
template <class S>
struct RgLru {
    static constexpr int gates = 3, states = 1, vectors = 1;
    static constexpr bool hides_state = false;

    static constexpr S least = sizeof(S) == sizeof(float) ? S(__FLT_MIN__) : S(__DBL_MIN__);

    struct Decay {
        Vec<S> a, fresh, log_a;
    };
    UNROLLED_INLINE static Decay decay(Vec<S> v, Vec<S> r) {
        const Vec<S> log_a = v * r;
        const ExpParts<S> e = exp_parts<S>(clamp<S>(log_a, -ExpConstants<S>::limit, S(0)));
        const Vec<S> a = e.scale * e.rest + e.scale;
        // 1 − a² = −(a − 1)(a + 1), which keeps its digits where a is near 1
        const Vec<S> square = -(e.scale * e.rest + (e.scale - S(1))) * (a + S(1));
        return {a, square_root<S>(square < 2 * least ? splat<S>(2 * least) : square), log_a};
    }
    UNROLLED_INLINE Vec<S> step(const Vec<S>* g, const Vec<S>* v, Vec<S>* state) const {
        const Decay of = decay(v[0], gate<S>(g[0]).open);
        return state[0] = of.a * state[0] + of.fresh * (gate<S>(g[1]).open * g[2]);
    }
    UNROLLED_INLINE void back(const Vec<S>* g, const Vec<S>* v, const Vec<S>* previous, Vec<S>, Vec<S>* d, Vec<S>* dg,
                              Vec<S>* dv) const {
        const Gate<S> r = gate<S>(g[0]), i = gate<S>(g[1]);
        const Decay of = decay(v[0], r.open);
        const Vec<S> slope = of.log_a > -least ? Vec<S>{} : of.a * of.a / of.fresh;
        const Vec<S> dlog_a = d[0] * (previous[0] * of.a - i.open * g[2] * slope);
        dg[0] = dlog_a * v[0] * r.open * r.shut;
        dg[1] = d[0] * of.fresh * g[2] * i.open * i.shut;
        dg[2] = d[0] * of.fresh * i.open;
        dv[0] = dv[0] + dlog_a * r.open;
        d[0] = d[0] * of.a;
    }
};

/// s = λ ⊙ s′ + e^γ ⊙ B x, complex. v: Re λ, Im λ, e^γ. The output is a product of s, not made here.
template <class S>
struct Lru {
    static constexpr int gates = 3, states = 2, vectors = 3;
    static constexpr bool hides_state = true;

    UNROLLED_INLINE Vec<S> step(const Vec<S>* g, const Vec<S>* v, Vec<S>* state) const {
        const Vec<S> re = v[0] * state[0] - v[1] * state[1] + v[2] * g[0];
        state[1] = v[0] * state[1] + v[1] * state[0] + v[2] * g[1];
        return state[0] = re;
    }
    UNROLLED_INLINE void back(const Vec<S>* g, const Vec<S>* v, const Vec<S>* previous, Vec<S> dh, Vec<S>* d,
                              Vec<S>* dg, Vec<S>* dv) const {
        const Vec<S> re = d[0], im = d[1];
        dg[0] = v[2] * re;
        dg[1] = v[2] * im;
        dg[2] = dh;
        dv[0] = dv[0] + re * previous[0] + im * previous[1];
        dv[1] = dv[1] + im * previous[0] - re * previous[1];
        dv[2] = dv[2] + re * g[0] + im * g[1];
        d[0] = v[0] * re + v[1] * im;
        d[1] = v[0] * im - v[1] * re;
    }
};

/// h = φ(x + v ⊙ h′).
template <class S, Nonlinearity F>
struct IndRnn {
    static constexpr int gates = 1, states = 1, vectors = 1;
    static constexpr bool hides_state = false;

    UNROLLED_INLINE Vec<S> step(const Vec<S>* g, const Vec<S>* v, Vec<S>* state) const {
        return state[0] = apply<S>(F, g[0] + v[0] * state[0]);
    }
    UNROLLED_INLINE void back(const Vec<S>* g, const Vec<S>* v, const Vec<S>* previous, Vec<S>, Vec<S>* d, Vec<S>* dg,
                              Vec<S>* dv) const {
        const Vec<S> h = apply<S>(F, g[0] + v[0] * previous[0]);
        if constexpr (F == Nonlinearity::relu) dg[0] = h > S(0) ? d[0] : Vec<S>{};
        if constexpr (F == Nonlinearity::tanh) dg[0] = d[0] * (S(1) - h * h);
        if constexpr (F == Nonlinearity::sigmoid) dg[0] = d[0] * h * (S(1) - h);
        dv[0] = dv[0] + dg[0] * previous[0];
        d[0] = dg[0] * v[0];
    }
};

/// Calls `f` with the cell of a spec.
template <class S, class F>
UNROLLED_INLINE void with_recurrence(const ElementwiseSpec& spec, F f) {
    switch (spec.kind) {
        case Recurrence::mingru:
            return f(MinGru<S>{});
        case Recurrence::minlstm:
            return f(MinLstm<S>{});
        case Recurrence::sru:
            return f(Sru<S>{static_cast<S>(spec.highway_scale)});
        case Recurrence::rglru:
            return f(RgLru<S>{});
        case Recurrence::lru:
            return f(Lru<S>{});
        case Recurrence::indrnn_tanh:
            return f(IndRnn<S, Nonlinearity::tanh>{});
        case Recurrence::indrnn_relu:
            return f(IndRnn<S, Nonlinearity::relu>{});
        case Recurrence::indrnn_sigmoid:
            return f(IndRnn<S, Nonlinearity::sigmoid>{});
    }
}

}  // namespace unrolled::UNROLLED_ISA
