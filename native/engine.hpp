// The requests to the engine: plain structs that the portable driver fills and the kernels of each instruction set
// read.
//
// Letters: T time, B batch, N sequences, I input, H hidden, P width of h (the projection, else H), G gates, M = Σ lengths,
// the valid steps of all sequences. S is float or double. No pointer here owns anything; unless said otherwise two pointers of
// one struct never alias. Strides count elements, and the last dimension of every array is contiguous.
#pragma once

#include <cstdint>

namespace unrolled {

using Index = std::int64_t;

enum class Kind : int { rnn = 0, lstm = 1, gru = 2 };
enum class Nonlinearity : int { tanh = 0, relu = 1, sigmoid = 2 };

/// The factors of the products with weight_ih and weight_hh, for float only. Sums, states, gates, biases, projection and
/// peepholes are S in all of them. `whole` factors are S; of `narrow_weights` the weights are rounded to bfloat16, of
/// `narrow` the rows too, in both passes.
enum class Products : int { whole = 0, narrow_weights = 1, narrow = 2 };

/// A cell and its sizes: src/unrolled/cells says what each option means.
struct Spec {
    Kind kind = Kind::lstm;
    Nonlinearity nonlinearity = Nonlinearity::tanh;
    bool coupled = false;
    bool peephole = false;
    bool reset_after = true;
    Products products = Products::whole;
    Index input = 0, hidden = 0, output = 0;

    /// G, the blocks of H rows in weight_ih.
    Index gates() const { return kind == Kind::rnn ? 1 : (kind == Kind::lstm && !coupled ? 4 : 3); }
    /// Blocks of H scalars that training saves for each step, besides h and c.
    Index saved_gates() const { return kind == Kind::rnn ? 0 : (kind == Kind::lstm ? gates() : 4); }
    /// Blocks of H scalars in a row of dgates: those of weight_ih, and for GRU n a second time, as W_hh sees it.
    Index dgates() const { return kind == Kind::gru ? 4 : gates(); }
    bool has_cell_state() const { return kind == Kind::lstm; }
    bool is_projected() const { return output != hidden; }
    /// Bytes of a packed weight, where a scalar has `scalar`.
    Index weight_size(Index scalar) const { return products == Products::whole ? scalar : 2; }
};

/// The parameters of one direction as torch lays them out, row-major and contiguous; absent ones are null.
template <class S>
struct Parameters {
    const S* weight_ih = nullptr;        // (G·H, I)
    const S* weight_hh = nullptr;        // (G·H, P)
    const S* bias_ih = nullptr;          // (G·H,)
    const S* bias_hh = nullptr;          // (G·H,)
    const S* weight_hr = nullptr;        // (P, H)
    const S* weight_peephole = nullptr;  // ((G−1)·H,)
};

/// The order of work. A sequence is part of a row of the batch; there are N, one in each row unless documents are packed
/// into rows. They are sorted by length, longest first; j counts them, s counts the steps taken, and those still running
/// at step s are the first running[s]. The pair (s, j) has the index m = offset[s] + j.
struct Schedule {
    Index time = 0, batch = 0;
    Index count = 0;                  // N
    Index steps = 0;                  // the longest length
    const Index* sequence = nullptr;  // (N,) the sequence at position j, which counts the rows of states
    const Index* row = nullptr;       // (N,) its row of the batch
    const Index* begin = nullptr;     // (N,) the time of its first step
    const Index* length = nullptr;    // (N,)
    const Index* until = nullptr;     // (N,) the time at which the row's next sequence begins, or T
    const Index* running = nullptr;   // (steps + 1,), the last of them 0
    const Index* offset = nullptr;    // (steps + 1,), the last of them M

    /// The time t of step s of the sequence at position j: a reversed direction starts at the sequence's own end.
    Index when(Index s, Index j, bool reverse) const { return begin[j] + (reverse ? length[j] - 1 - s : s); }
    /// The step that a direction takes at the time at which the other takes step s.
    Index other(Index s, Index j) const { return length[j] - 1 - s; }
    /// The time from which on nothing of the row is read until its next sequence begins.
    Index end(Index j) const { return begin[j] + length[j]; }
};

/// The random regularisers of one direction; see `Masks` in scan.py.
template <class S>
struct Regularisers {
    const S* recurrent = nullptr;          // (B, P), or null
    const std::uint8_t* keep_h = nullptr;  // (T, B, P) of 0 and 1, or null
    const std::uint8_t* keep_c = nullptr;  // (T, B, H) of 0 and 1, or null
    S rate_h = 0, rate_c = 0;              // the probabilities that evaluation mixes by, else 0
    bool any_zoneout() const { return keep_h || keep_c || rate_h != S(0) || rate_c != S(0); }
};

/// One direction of a forward pass.
template <class S>
struct ForwardDirection {
    bool reverse = false;
    const void* gates_packed = nullptr;    // by pack_gates
    const S* projection_packed = nullptr;  // by pack_rows of weight_hr, or null
    const S* peephole = nullptr;           // ((G−1)·H,), or null
    const S* h_0 = nullptr;                // (N, P)
    const S* c_0 = nullptr;                // (N, H), or null
    S* h_n = nullptr;                      // (N, P)
    S* c_n = nullptr;                      // (N, H), or null
    Index column = 0;                      // the first of its P columns in a row of out
    S* saved_gates = nullptr;              // (M, saved_gates, H) for training, or null
    S* saved_cells = nullptr;              // (M, H) for training, or null
    Regularisers<S> masks;
};

/// A forward pass of one layer.
template <class S>
struct Forward {
    Spec spec;
    Schedule schedule;
    const S* x = nullptr;  // (T, B, I)
    Index x_time = 0, x_batch = 0;
    S* out = nullptr;  // (T, B, D·P); every element is written
    Index out_time = 0, out_batch = 0;
    Index directions = 1;
    ForwardDirection<S> direction[2];
};

/// One step of one direction. Each of its B rows has an address of its own; h_n may not alias x or h_0, c_n may be c_0.
template <class S>
struct Step {
    Spec spec;
    Index batch = 0;
    const void* gates_packed = nullptr;
    const S* projection_packed = nullptr;
    const S* peephole = nullptr;
    const S* const* x = nullptr;    // B rows of I
    const S* const* h_0 = nullptr;  // B rows of P
    const S* const* c_0 = nullptr;  // B rows of H, or null
    S* const* h_n = nullptr;        // B rows of P
    S* const* c_n = nullptr;        // B rows of H, or null
};

/// One direction of a backward pass.
template <class S>
struct BackwardDirection {
    bool reverse = false;
    Parameters<S> parameters;
    const void* hidden_packed = nullptr;  // by pack_columns of weight_hh; of its r and z only where GRU resets before
    const void* candidate_packed = nullptr;   // by pack_columns of W_hn, where GRU resets before, or null
    const void* input_packed = nullptr;       // by pack_columns of weight_ih, GRU's gates in the order n, r, z
    const void* projection_packed = nullptr;  // by pack_columns of weight_hr, whole, or null
    const S* h_0 = nullptr;                   // (N, P)
    const S* c_0 = nullptr;                   // (N, H), or null
    const S* saved_gates = nullptr;        // as the forward pass saved them
    const S* saved_cells = nullptr;
    const S* dh_n = nullptr;  // (N, P)
    const S* dc_n = nullptr;  // (N, H), or null
    Index column = 0;
    // (M, dgates, H) scratch: LSTM in the order of its gates, GRU as n, r, z and, for W_hn, dn ⊙ r if it resets after
    // the product, else r ⊙ h, the vector that W_hn was applied to
    S* dgates = nullptr;
    S* dh = nullptr;    // (M, P) scratch, with projection only: the gradient of h
    S* dh_0 = nullptr;  // (N, P); scratch during the pass, then the gradient of h_0
    S* dc_0 = nullptr;  // (N, H) or null, likewise
    S* dweight_ih = nullptr;
    S* dweight_hh = nullptr;
    S* dbias_ih = nullptr;
    S* dbias_hh = nullptr;
    S* dweight_hr = nullptr;
    S* dweight_peephole = nullptr;
    Regularisers<S> masks;
};

/// A backward pass of one layer.
template <class S>
struct Backward {
    Spec spec;
    Schedule schedule;
    const S* x = nullptr;
    Index x_time = 0, x_batch = 0;
    const S* out = nullptr;  // the output of the forward pass
    Index out_time = 0, out_batch = 0;
    const S* dout = nullptr;  // (T, B, D·P)
    Index dout_time = 0, dout_batch = 0;
    S* dx = nullptr;  // (T, B, I), or null if not wanted; every element is written
    Index dx_time = 0, dx_batch = 0;
    Index directions = 1;
    BackwardDirection<S> direction[2];
};

class Lockstep;

/// Who runs a time loop: the calling thread alone, or one of two threads in lockstep (runtime/helper.hpp).
struct Pairing {
    Lockstep* lockstep = nullptr;
    bool is_helper = false;
};

/// Aligned memory of one thread, kept between calls. What `take` returns is valid until the next `reset`.
class Scratch {
public:
    Scratch() = default;
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch();
    void reset();
    void* take(Index bytes);

    /// The scratch memory of the calling thread.
    static Scratch& of_thread();

private:
    struct Block {
        Block* next;
        Index size, used;
    };
    Block* blocks_ = nullptr;
};

template <class S>
struct ElementwiseKernels;

/// The kernels of one instruction set for one scalar type. A job is divided into `parts`, each for one thread; they
/// write to disjoint memory, and no result depends on their number.
template <class S>
struct Kernels {
    Index (*gates_size)(const Spec&);  // in bytes
    void (*pack_gates)(const Spec&, const Parameters<S>&, void* packed, Index part, Index parts, Scratch&);
    Index (*columns_size)(Products, Index rows, Index columns);  // in bytes
    void (*pack_columns)(Products, const S* matrix, Index rows, Index columns, void* packed);
    void (*pack_transposed)(const S* matrix, Index rows, Index columns, S* packed);
    void (*forward)(const Forward<S>&, Index direction, Index part, Index parts, Pairing, Scratch&);
    void (*step)(const Step<S>&, Index part, Index parts, Scratch&);
    void (*bptt)(const Backward<S>&, Index direction, Index part, Index parts, Pairing, Scratch&);
    void (*input_gradient)(const Backward<S>&, Index part, Index parts, Scratch&);
    void (*weight_gradient)(const Backward<S>&, Index direction, Index part, Index parts, Scratch&);
    std::uint64_t (*digest)(const void* from, Index bytes);
    const ElementwiseKernels<S>* elementwise;  // recurrence.hpp
};

/// One instruction set.
struct Variant {
    const char* name;
    Kernels<float> f32;
    Kernels<double> f64;
};

template <class S>
const Kernels<S>& kernels_of(const Variant& variant);
template <>
inline const Kernels<float>& kernels_of<float>(const Variant& variant) {
    return variant.f32;
}
template <>
inline const Kernels<double>& kernels_of<double>(const Variant& variant) {
    return variant.f64;
}

}  // namespace unrolled
