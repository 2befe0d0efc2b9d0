// The forward pass over time: every step of one direction for one thread's share of the sequences. Threads with
// sequences of their own never wait for each other; two threads that share the units of each step meet after it.
#pragma once

#include "runtime/helper.hpp"
#include "stages.hpp"

namespace unrolled::UNROLLED_ISA {

inline constexpr Index kFewRows = tuning::few_rows(kTallest);
inline constexpr Index kChunkRows = tuning::chunk_rows(kTallest);

/// Keeps track of whether the units of a step are shared with another thread.
class SharedSteps {
public:
    explicit SharedSteps(Pairing pairing) : pairing_(pairing), is_shared_(pairing.is_helper) {}
    /// The first step to take here; negative for a helper that is no longer needed. A helper that was sent away comes
    /// back by asking again.
    Index begin() { return pairing_.is_helper ? pairing_.lockstep->join() : 0; }
    /// Decides before each step whether this thread takes all units or its share of them.
    void arrange(Index step) {
        if (pairing_.lockstep == nullptr || pairing_.is_helper) return;
        if (is_shared_ && step >= alone_from_) is_shared_ = false;
        if (is_shared_ || !pairing_.lockstep->admit(step)) return;
        is_shared_ = true;
        alone_from_ = kNever;
    }
    bool is_shared() const { return is_shared_; }
    Share share() const { return is_shared_ ? Share{pairing_.is_helper ? 1 : 0, 2} : Share{}; }
    /// Meets the other thread after a step. Returns whether this thread takes the next one.
    bool goes_on(Index step, bool long_step = false) {
        if (!is_shared_) return true;
        if (pairing_.is_helper) return pairing_.lockstep->go_on(step);
        if (!pairing_.lockstep->meet(step, long_step) && alone_from_ == kNever) alone_from_ = step + 2;
        return true;
    }
    void close() {
        if (pairing_.lockstep != nullptr) pairing_.lockstep->close();
    }

private:
    static constexpr Index kNever = Index{1} << 62;
    Pairing pairing_;
    bool is_shared_;
    Index alone_from_ = kNever;
};

/// Counts those of the positions part, part + parts, … that are below `running`.
UNROLLED_INLINE Index count_own(Index running, Index part, Index parts) {
    return running > part ? (running - part + parts - 1) / parts : 0;
}

/// The memory that a pass needs beside its results.
template <class S>
struct ForwardScratch {
    Row<S>* rows;
    S *inner, *z, *masked[2];
    S* starts;
    const S** x_rows;
    void* factors;
    /// `start_size` is 0 where no inputs are projected ahead. A helper uses the caller's starts.
    template <class Stages>
    ForwardScratch(Stages, const Spec& spec, Index mine, bool is_masked, Index start_size, bool is_helper,
                   Scratch& scratch) {
        rows = take<Row<S>>(scratch, mine);
        const bool two_stages = spec.is_projected() || (spec.kind == Kind::gru && !spec.reset_after);
        inner = two_stages ? take<S>(scratch, mine * spec.hidden) : nullptr;
        z = two_stages ? take<S>(scratch, mine * spec.hidden) : nullptr;
        for (auto& m : masked) m = is_masked ? take<S>(scratch, mine * spec.output) : nullptr;
        starts = start_size && !is_helper ? take<S>(scratch, kChunkRows * start_size) : nullptr;
        x_rows = start_size ? take<const S*>(scratch, kChunkRows) : nullptr;
        const Index ahead = start_size ? Factors<S, typename Stages::Format>::size(kChunkRows, spec.input) : 0;
        const Index now = Stages::factors_size(spec, mine);
        factors = scratch.take(ahead > now ? ahead : now);
    }
};

/// The next steps whose input's share is computed at once, if there are few enough rows. Both threads of a shared pass
/// cut time into the same chunks, from the first step on.
struct Chunk {
    Index begin = 0, end = 0;
    bool is_projected = false;

    /// Moves on to the chunk that contains step `s`.
    void move_to(Index s, const Schedule& plan, Index part, Index parts) {
        while (s >= end) {
            const Index n = count_own(plan.running[end], part, parts);
            // rows only get fewer, so that a chunk which fits now fits throughout; the first is short, since a helper
            // has nothing to do until it is over
            const Index rows = begin == end ? kTallest : kChunkRows;
            begin = end;
            is_projected = n <= kFewRows && plan.steps - begin > 1;
            end = is_projected && n > 0 ? begin + rows / n : begin + 1;
            if (end > plan.steps) end = plan.steps;
        }
    }
};

/// All steps of the sequences part, part + parts, …; with a second thread the units of each step are shared. Cells of
/// two stages, and steps with a recurrent mask, are not shared.
template <class S, class Stages>
class ForwardPass {
public:
    ForwardPass(const Forward<S>& f, const ForwardDirection<S>& d, Index part, Index parts, Pairing pairing,
                Scratch& scratch)
        : f_(f),
          d_(d),
          plan_(f.schedule),
          part_(part),
          parts_(parts),
          pairing_(pairing),
          is_masked_(d.masks.recurrent != nullptr),
          weights_(f.spec, d.gates_packed),
          cell_(cell_args(f.spec, d.peephole, d.masks)),
          memory_(Stages{}, f.spec, count_own(plan_.count, part, parts), is_masked_,
                  projects() ? weights_.start_size : 0, pairing.is_helper, scratch) {
        cell_.factors = memory_.factors;
    }

    void run() {
        if (!pairing_.is_helper) {
            prepare_outputs();
            // both threads project into one place, each its own units
            if (pairing_.lockstep != nullptr) pairing_.lockstep->shared = memory_.starts;
        }
        if (is_masked_) mask_initial_states();
        SharedSteps shared(pairing_);
        for (Index s; (s = shared.begin()) >= 0;) {
            if (pairing_.is_helper) memory_.starts = static_cast<S*>(pairing_.lockstep->shared);
            take_steps(s, shared);
            if (!pairing_.is_helper) break;
        }
        if (pairing_.is_helper) return;
        shared.close();
        write_final_states();
    }

private:
    /// The number of this part's sequences that run at step `s`.
    Index running(Index s) const { return count_own(plan_.running[s], part_, parts_); }
    bool projects() const { return plan_.steps > 1 && running(plan_.steps - 1) <= kFewRows; }
    /// The output of step `s` of the sequence at position `j`.
    S* output(Index s, Index j) const {
        return f_.out + plan_.when(s, j, d_.reverse) * f_.out_time + plan_.row[j] * f_.out_batch + d_.column;
    }

    /// c_n begins as c_0, and is updated in place where no cells are saved; the output is zero beyond each sequence.
    void prepare_outputs() const {
        const Index H = f_.spec.hidden, P = f_.spec.output;
        for (Index j = part_; j < plan_.count; j += parts_) {
            const Index n = plan_.sequence[j];
            if (d_.c_n != nullptr) std::memcpy(d_.c_n + n * H, d_.c_0 + n * H, H * sizeof(S));
            for (Index t = plan_.end(j); t < plan_.until[j]; ++t)
                std::memset(f_.out + t * f_.out_time + plan_.row[j] * f_.out_batch + d_.column, 0, P * sizeof(S));
        }
    }

    void mask_initial_states() const {
        const Index width = f_.spec.output;
        for (Index i = 0, mine = count_own(plan_.count, part_, parts_); i < mine; ++i) {
            const Index j = part_ + i * parts_, n = plan_.sequence[j], b = plan_.row[j];
            for (Index k = 0; k < width; ++k)
                memory_.masked[0][i * width + k] = d_.h_0[n * width + k] * d_.masks.recurrent[b * width + k];
        }
    }

    /// Takes all steps from `s` on, or until this thread no longer shares them.
    void take_steps(Index s, SharedSteps& shared) {
        Chunk& chunk = chunk_;
        // where a helper joins in the middle of a chunk, the caller has projected all of it
        if (s > 0) chunk.move_to(s - 1, plan_, part_, parts_);
        Index start_row = 0;
        for (Index q = chunk.begin, end = s < chunk.end ? s : chunk.begin; q < end; ++q) start_row += running(q);
        for (; s < plan_.steps; ++s) {
            const Index n = running(s);
            if (n == 0) break;
            shared.arrange(s);
            const bool is_new = s >= chunk.end;
            if (is_new) {
                chunk.move_to(s, plan_, part_, parts_);
                start_row = 0;
                if (chunk.is_projected) project(shared.share());
            }
            for (Index i = 0; i < n; ++i)
                place(memory_.rows[i], s, i,
                      chunk.is_projected ? memory_.starts + (start_row + i) * weights_.start_size : nullptr);
            take_step(s, n, shared);
            start_row += n;
            if (!shared.goes_on(s, is_new && chunk.is_projected)) break;
        }
    }

    /// Computes the input's share of the sums for the whole chunk.
    void project(Share share) const {
        Index count = 0;
        for (Index q = chunk_.begin; q < chunk_.end; ++q)
            for (Index i = 0, n = running(q); i < n; ++i) {
                const Index j = part_ + i * parts_;
                memory_.x_rows[count++] = f_.x + plan_.when(q, j, d_.reverse) * f_.x_time + plan_.row[j] * f_.x_batch;
            }
        Stages::project(weights_, memory_.x_rows, count, memory_.factors, memory_.starts, share);
    }

    /// Sets the addresses of all that step `s` reads and writes of sequence `i` of this part.
    UNROLLED_INLINE void place(Row<S>& row, Index s, Index i, const S* start) const {
        const Index H = f_.spec.hidden, width = f_.spec.output;
        const Index j = part_ + i * parts_, sequence = plan_.sequence[j], b = plan_.row[j];
        const Index t = plan_.when(s, j, d_.reverse), m = plan_.offset[s] + j;
        row.x = f_.x + t * f_.x_time + b * f_.x_batch;
        row.start = start;
        row.h = f_.out + t * f_.out_time + b * f_.out_batch + d_.column;
        row.h_prev = s == 0 ? d_.h_0 + sequence * width : output(s - 1, j);
        row.h_in = is_masked_ ? memory_.masked[s % 2] + i * width : row.h_prev;
        row.h_masked = is_masked_ ? memory_.masked[(s + 1) % 2] + i * width : nullptr;
        row.mask = is_masked_ ? d_.masks.recurrent + b * width : nullptr;
        row.inner = memory_.inner == nullptr ? nullptr : memory_.inner + i * H;
        row.z = memory_.z == nullptr ? nullptr : memory_.z + i * H;
        row.gates = d_.saved_gates == nullptr ? nullptr : d_.saved_gates + m * f_.spec.saved_gates() * H;
        row.keep_h = d_.masks.keep_h == nullptr ? nullptr : d_.masks.keep_h + (t * plan_.batch + b) * width;
        row.keep_c = d_.masks.keep_c == nullptr ? nullptr : d_.masks.keep_c + (t * plan_.batch + b) * H;
        if (d_.saved_cells != nullptr) {
            row.c = d_.saved_cells + m * H;
            row.c_prev = s == 0 ? d_.c_0 + sequence * H : d_.saved_cells + (plan_.offset[s - 1] + j) * H;
        } else {
            row.c = d_.c_n == nullptr ? nullptr : d_.c_n + sequence * H;
            row.c_prev = row.c;
        }
    }

    void take_step(Index s, Index n, const SharedSteps& shared) const {
        const bool backwards = s % 2 != 0;
        if (!shared.is_shared()) return Stages::run(weights_, d_.projection_packed, memory_.rows, n, cell_, backwards);
        // half of h is in the other core's cache
        for (Index i = 0; i < n; ++i) prefetch_reads(memory_.rows[i].h_in, f_.spec.output);
        Stages::run_share(weights_, memory_.rows, n, cell_, shared.share(), backwards);
    }

    void write_final_states() const {
        const Index H = f_.spec.hidden, width = f_.spec.output;
        for (Index j = part_; j < plan_.count; j += parts_) {
            const Index n = plan_.sequence[j], length = plan_.length[j];
            const S* h = length == 0 ? d_.h_0 + n * width : output(length - 1, j);
            std::memcpy(d_.h_n + n * width, h, width * sizeof(S));
            if (d_.saved_cells != nullptr && length > 0)
                std::memcpy(d_.c_n + n * H, d_.saved_cells + (plan_.offset[length - 1] + j) * H, H * sizeof(S));
        }
    }

    const Forward<S>& f_;
    const ForwardDirection<S>& d_;
    const Schedule& plan_;
    const Index part_, parts_;
    const Pairing pairing_;
    const bool is_masked_;
    const typename Stages::Weights weights_;
    CellArgs<S> cell_;
    ForwardScratch<S> memory_;
    Chunk chunk_;
};

/// Runs a pass; `Stages` are those of the cell.
template <class S, class Stages>
void forward_pass(Stages, const Forward<S>& f, const ForwardDirection<S>& d, Index part, Index parts, Pairing pairing,
                  Scratch& scratch) {
    if (count_own(f.schedule.count, part, parts) == 0) return;
    ForwardPass<S, Stages>(f, d, part, parts, pairing, scratch).run();
}

}  // namespace unrolled::UNROLLED_ISA
