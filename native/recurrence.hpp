// The requests for elementwise recurrences: cells without W_hh, in which each unit sees its own past alone.
//
// Letters, pointers and strides as in engine.hpp. A cell has `gates` blocks of H inputs a step, of which `products` are
// rows of weight_ih and the last may be x itself; `carried` states that a step reads; and `vectors` numbers for each
// unit that are the same at every step. The states come in the order of the cell's own: where h is not fed back, it is
// the first of them and not carried.
#pragma once

#include "engine.hpp"

namespace unrolled {

enum class Recurrence : int { mingru = 0, minlstm, sru, rglru, lru, indrnn_tanh, indrnn_relu, indrnn_sigmoid };

/// An elementwise cell and its sizes: src/unrolled/cells says what each computes.
struct ElementwiseSpec {
    static constexpr Index kMostStates = 3, kMostVectors = 3;

    Recurrence kind = Recurrence::mingru;
    /// Whether the last block of gates is x itself.
    bool carries_input = false;
    /// SRU: what the highway is multiplied by.
    double highway_scale = 1;
    Index input = 0, hidden = 0;

    Index gates() const {
        switch (kind) {
            case Recurrence::mingru:
                return 2;
            case Recurrence::sru:
                return 4;
            case Recurrence::minlstm:
            case Recurrence::rglru:
            case Recurrence::lru:
                return 3;
            default:
                return 1;
        }
    }
    Index products() const { return gates() - (carries_input ? 1 : 0); }
    Index carried() const { return is_mapped() ? 2 : 1; }
    /// Whether h is an output that no step reads.
    bool hides_state() const { return kind == Recurrence::sru || is_mapped(); }
    /// Whether the output is a product of the states, plus the last block of gates.
    bool is_mapped() const { return kind == Recurrence::lru; }
    Index states() const { return carried() + (hides_state() ? 1 : 0); }
    Index vectors() const {
        switch (kind) {
            case Recurrence::sru:
                return 2;
            case Recurrence::lru:
                return 3;
            case Recurrence::mingru:
            case Recurrence::minlstm:
                return 0;
            default:
                return 1;
        }
    }
};

/// What a step multiplies the states by: `vectors` of H, for each of the B rows or the same for all.
template <class S>
struct Vectors {
    const S* data = nullptr;
    Index row = 0, vector = 0;  // the distances between rows, 0 for the same, and between vectors
};

/// One direction of a forward pass.
template <class S>
struct ElementwiseForwardDirection {
    bool reverse = false;
    const S* packed = nullptr;         // by pack_blocks of weight_ih
    const S* output_packed = nullptr;  // by pack_transposed of (H, 2H), where the output is mapped, or null
    Vectors<S> vectors;
    const S* initial[ElementwiseSpec::kMostStates] = {};  // (N, H) each
    S* final[ElementwiseSpec::kMostStates] = {};          // (N, H) each
    Index column = 0;                                     // the first of its H columns in a row of out
    S* gates = nullptr;                                   // (M, products, H) for training, or null
    S* kept = nullptr;  // (M, carried, H) for training of a cell that hides its state, or null
};

/// A forward pass of one layer.
template <class S>
struct ElementwiseForward {
    ElementwiseSpec spec;
    Schedule schedule;
    const S* x = nullptr;  // (T, B, I)
    Index x_time = 0, x_batch = 0;
    S* out = nullptr;  // (T, B, D·H); every element is written
    Index out_time = 0, out_batch = 0;
    Index directions = 1;
    ElementwiseForwardDirection<S> direction[2];
};

/// One direction of a backward pass.
template <class S>
struct ElementwiseBackwardDirection {
    bool reverse = false;
    const S* weight_ih = nullptr;      // (products·H, I)
    const S* weight_output = nullptr;  // (H, 2H), where the output is mapped, or null
    Vectors<S> vectors;
    const S* initial[ElementwiseSpec::kMostStates] = {};
    const S* gates = nullptr;  // as the forward pass kept them
    const S* kept = nullptr;
    const S* dfinal[ElementwiseSpec::kMostStates] = {};
    Index column = 0;
    S* dgates = nullptr;   // (M, products, H) scratch
    S* dcarried = nullptr;  // (M, H) scratch: the gradient of x as a block of gates, or null
    S* dh = nullptr;       // (M, H) scratch, where the output is mapped, or null
    S* dkept = nullptr;    // (M, carried, H) scratch, likewise
    S* dinitial[ElementwiseSpec::kMostStates] = {};  // (N, H) each
    S* dvectors = nullptr;                           // (vectors, N, H), or null where there are none
    S* dweight_ih = nullptr;                         // (products·H, I), or null where it is not wanted
    S* dbias_ih = nullptr;                           // (products·H,), likewise
    S* dweight_output = nullptr;                     // (H, 2H), likewise
};

/// A backward pass of one layer.
template <class S>
struct ElementwiseBackward {
    ElementwiseSpec spec;
    Schedule schedule;
    const S* x = nullptr;
    Index x_time = 0, x_batch = 0;
    const S* out = nullptr;  // the output of the forward pass
    Index out_time = 0, out_batch = 0;
    const S* dout = nullptr;  // (T, B, D·H)
    Index dout_time = 0, dout_batch = 0;
    S* dx = nullptr;  // (T, B, I), or null if not wanted; every element is written
    Index dx_time = 0, dx_batch = 0;
    Index directions = 1;
    ElementwiseBackwardDirection<S> direction[2];
};

/// A thread's share of a pass: every `row_parts`-th sequence, and some panels of 4 vectors of units.
struct Patch {
    Index row_part = 0, row_parts = 1, unit_part = 0, unit_parts = 1;
};

/// The elementwise kernels of one instruction set for one scalar type; parts and results as in `Kernels`.
template <class S>
struct ElementwiseKernels {
    /// Scalars of `blocks` packed blocks of weights (H, I), each after its biases.
    Index (*blocks_size)(Index blocks, Index hidden, Index input);
    /// Packs weight (blocks·H, I), and bias ((biased ≤ blocks)·H,) or null.
    void (*pack_blocks)(const S* weight, const S* bias, Index blocks, Index biased, Index hidden, Index input, S* to);
    /// Panels of units, the most that a pass can be divided into.
    Index (*panels)(Index hidden);
    /// The gates and the recurrence. In inference of a mapped cell also the output; the patch then has all units.
    void (*forward)(const ElementwiseForward<S>&, Index direction, const Patch&, Scratch&);
    /// The output of a mapped cell from the states kept.
    void (*map)(const ElementwiseForward<S>&, Index direction, Index part, Index parts, Scratch&);
    /// Gathers dh of a mapped cell.
    void (*gather)(const ElementwiseBackward<S>&, Index direction, Index part, Index parts);
    void (*bptt)(const ElementwiseBackward<S>&, Index direction, const Patch&, Scratch&);
    /// Adds dcarried to dx for the rows that input_gradient gives to the same part.
    void (*add_carried)(const ElementwiseBackward<S>&, Index part, Index parts);
};

}  // namespace unrolled
