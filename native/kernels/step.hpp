// One step of one direction, for streams: without a schedule and without copies.
#pragma once

#include "forward.hpp"

namespace unrolled::UNROLLED_ISA {

/// Takes one of `parts` shares of the units. Cells of two stages require parts = 1.
template <class S, class P>
void step_pass(P, const Step<S>& step, Index part, Index parts, Scratch& scratch) {
    const Index H = step.spec.hidden, n = step.batch;
    const typename P::Weights weights(step.spec, step.gates_packed);
    ForwardScratch<S> mem(P{}, step.spec, n, false, 0, false, scratch);
    CellArgs<S> cell = cell_args(step.spec, step.peephole, Regularisers<S>{});
    cell.factors = mem.factors;
    for (Index b = 0; b < n; ++b) {
        Row<S>& row = mem.rows[b];
        row = Row<S>{};
        row.x = step.x[b];
        row.h_in = row.h_prev = step.h_0[b];
        row.h = step.h_n[b];
        if (step.c_0 != nullptr) {
            row.c_prev = step.c_0[b];
            row.c = step.c_n[b];
        }
        if (mem.inner != nullptr) {
            row.inner = mem.inner + b * H;
            row.z = mem.z + b * H;
        }
    }
    if (parts == 1) return P::run(weights, step.projection_packed, mem.rows, n, cell);
    P::run_share(weights, mem.rows, n, cell, Share{part, parts});
}

}  // namespace unrolled::UNROLLED_ISA
