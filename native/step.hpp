// One step of one direction, for streams: no schedule, no copies.
#pragma once

#include "forward.hpp"

namespace unrolled::UNROLLED_ISA {

/// Part `part` of `parts`, which divide the units among them. Cells of two stages come with parts = 1.
template <class S, class P>
void step_pass(P, const Step<S>& step, Index part, Index parts, Scratch& scratch) {
    const Index H = step.spec.hidden, width = step.spec.output, n = step.batch;
    const typename P::template Weights<S> weights(step.spec, step.gates_packed);
    const CellArgs<S> cell = cell_args(step.spec, step.peephole, Regularisers<S>{});
    ForwardScratch<S> mem(step.spec, n, false, 0, scratch);
    for (Index b = 0; b < n; ++b) {
        Row<S>& row = mem.rows[b];
        row = Row<S>{};
        row.x = step.x + b * step.spec.input;
        row.h_in = row.h_prev = step.h_0 + b * width;
        row.h = step.h_n + b * width;
        if (step.c_0 != nullptr) {
            row.c_prev = step.c_0 + b * H;
            row.c = step.c_n + b * H;
        }
        if (mem.inner != nullptr) {
            row.inner = mem.inner + b * H;
            row.z = mem.z + b * H;
        }
    }
    if (parts == 1) return P::template run<S>(weights, step.projection_packed, mem.rows, n, cell);
    P::template run_share<S>(weights, mem.rows, n, cell, part, parts);
}

}  // namespace unrolled::UNROLLED_ISA
