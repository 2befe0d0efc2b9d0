// Every constant of the scheduler and of the kernels that was measured or chosen, rather than derived.
//
// Each entry says what the value means and its unit, then what it rests on ("Measured" where a figure was recorded,
// "Chosen" where none was), then which calls to time to check it on another machine. No value changes a result, only
// who computes a part and when; the one exception says so (kChunkSteps).
//
// Measured on two cores of an AMD EPYC (Zen 4: AVX-512, 116 GFLOP/s and 1 MiB of L2 a core, 32 MiB of L3 shared) under
// Linux, compiled by GCC 12. BxH are batch and hidden size.
//
// To check a value, install the package in two environments whose sources differ in that value alone, and let them take
// turns over the calls that are named with it:
//
//     python benchmarks/single_call.py PYTHON_A PYTHON_B --threads 2 --kinds step --sizes 1x128 1x256
//
// Halve and double a value first: where neither makes a difference beyond the noise, it is not worth tuning. Lateness
// and rests show only beside other work (benchmarks/contention.py). docs/log.md tells what was tried and did not help.
#pragma once

#include <chrono>
#include <cstdint>

namespace unrolled::tuning {

using Index = std::int64_t;
using std::chrono::microseconds;
using std::chrono::milliseconds;

// ---- How much work is worth a second thread

/// Multiply-adds of a pass over time. With less, its rows are not dealt out to threads: one thread is done (4 µs)
/// before a parallel region of OpenMP has begun.
/// Chosen. Check: --kinds sequence --sizes 16x32 16x64 --steps 5.
inline constexpr double kMinWorkToDeal = 2.5e5;
/// Multiply-adds of a pass over time with few rows. With less (7 µs), the helper is not asked: waking it takes some
/// microseconds.
/// Chosen. Check: --kinds sequence --sizes 1x64 1x128 --steps 20.
inline constexpr double kMinWorkForHelper = 4e5;
/// Multiply-adds of one step (70 µs) from which on more than two threads are woken, where there are more.
/// Chosen. Check: --kinds step --sizes 16x512 64x512 --threads 4.
inline constexpr double kMinWorkForRegion = 4e6;
/// Multiply-adds of a call from Python (9 µs). With less, the GIL is kept: the call is over before another thread has
/// taken it.
/// Chosen. Check: --kinds step stream --sizes 1x256 1x512, alone and beside a busy Python thread.
inline constexpr double kMinWorkToReleaseGil = 5e5;
/// Multiply-adds of a step from Python. With less, torch is not asked how many threads there are; the step is below
/// every limit beyond which it would be shared.
/// Chosen. Check: --kinds step --sizes 1x64 1x128.
inline constexpr double kMinWorkToCountThreads = 5e4;

/// Bytes of weights, and multiply-adds, of a step that one thread takes alone. A step beyond either is shared.
/// Measured in a tight loop, one thread and two: LSTM 1x128 8.2 and 5.5 µs, 1x160 12.6 and 7.9; GRU 1x128 6.6 and 5.0;
/// RNN 1x256 7.6 and 5.3. Steps of wide batches compute for longer than they read.
/// Check: --kinds stream --sizes 1x96 1x128 1x160 8x64 8x128.
inline constexpr Index kMaxStepBytesAlone = Index{350} << 10;
inline constexpr double kMaxStepWorkAlone = 1e6;
/// Bytes of weights of a step for which a sleeping helper is not woken: reading them takes as long as waking it.
/// Measured: steps 60 µs apart took 17 to 27 µs instead of 9 when each woke the helper.
/// Check: steps with a pause between them, 1x160 and 1x256.
inline constexpr Index kMaxStepBytesAwake = Index{1} << 20;

/// Sequences whose steps are shared unit by unit. More of them are dealt out row by row.
/// Measured against 4: LSTM 5x128 .80 → .68 ms, GRU 7x512 11.5 → 10.2, training of a GRU 5x256 7.2 → 6.5. At 8 rows it
/// gains 2 to 3 % (an RNN's training loses 4), at 16 nothing, at 32x1024 it loses 3 to 8 %.
/// Check: --kinds sequence training --sizes 5x128 7x512 8x256 16x256.
inline constexpr Index kMaxLockstepRows = 8;
/// Steps below which a sequence is not shared: the first shared step only fills the helper's cache.
/// Chosen. Check: --kinds sequence --sizes 1x512 --steps 2, 3 and 5.
inline constexpr Index kMinLockstepSteps = 3;
/// Round trips between the two cores that a step must outlast to be shared: the threads meet after every step, which
/// takes one or two of them and saves half of the step.
/// Measured: an RNN 1x128 took .117 ms on two threads and .103 on one while the cores shared no cache, .066 when they
/// did.
/// Check: --kinds sequence --sizes 1x64 1x96 1x128, on cores that share a cache and on others.
inline constexpr Index kRoundTripsPerStep = 3;
/// Packed weights that one core reads, in bytes a nanosecond: how long a step with few rows takes.
/// Measured: 102 to 117 from L2, 86 to 99 from L3. Check: the bandwidths that `unrolled bench layers` prints.
inline constexpr Index kBytesPerNanosecond = 100;

/// Nanoseconds of a round trip from which on the cores count as far from each other: they share no cache.
/// Measured: 90 where they share one, 370 where they do not. Check: print `round_trip()` (runtime/helper.hpp).
inline constexpr Index kFarRoundTrip = 200;
/// Multiply-adds of a training pass with few rows below which far cores do not share it: what they write for each other
/// costs more than they save.
/// Measured: training of an RNN 1x128 took .54 ms on two far cores, .39 on one, .34 on two near ones.
/// Check: --kinds training --sizes 1x128 1x256, on far cores.
inline constexpr double kMinTrainingWorkFar = 2e7;
/// Bytes of weights from which on packing them is shared, by near and by far cores: packing less takes no longer than
/// asking for help, or than fetching what a far core has packed.
/// Chosen. Check: --kinds training --sizes 1x128 1x256 1x512.
inline constexpr Index kMinPackedBytesShared = Index{1} << 18;
inline constexpr Index kMinPackedBytesSharedFar = Index{1} << 21;

// ---- Into how many parts work is cut

/// Parts of packing one direction's weights, so that a helper that comes late still finds some.
/// Chosen. Check: --kinds training --sizes 1x512.
inline constexpr Index kPackingParts = 8;
/// Parts of one step at most, and units of each: long enough to be worth taking, short enough to be waited for.
/// Measured with lateness that depends on the part: a step of an LSTM 64x512, 2.6 → 1.25 ms.
/// Check: --kinds step --sizes 1x512 64x512.
inline constexpr Index kMaxStepParts = 16, kUnitsPerPart = 32;
/// Parts of each of the two products after a backward loop that two threads share.
/// Chosen. Check: --kinds training --sizes 1x128 1x512.
inline constexpr Index kGradientParts = 4;

// ---- The helper thread: when it is awake

/// How long the helper looks out for the next job before it sleeps: longer than the pause between two calls of a loop
/// or between a forward pass and its backward pass, and too short to take anything from others.
/// Measured: with 50 µs it was asleep between the passes. Training 1x128: RNN 329 → 287 µs, GRU 645 → 619, LSTM 790 →
/// 774. 200 µs gain no more. Check: --kinds training --sizes 1x128.
inline constexpr auto kAwakeAfterJob = microseconds(100);
/// A short job wakes a sleeping helper only so soon after the call before it; the helper is then awake for the next
/// one.
/// Measured: see kMaxStepBytesAwake. Check: likewise.
inline constexpr auto kSoonAfter = microseconds(50);
/// How long a new helper thread is not asked: the system has yet to start it.
/// Chosen. Check: the first calls of a process.
inline constexpr auto kHelperStart = microseconds(200);
/// Turns of a waiting loop between two looks at the clock, while waiting for the other thread and for a job: a look
/// takes longer than a turn.
/// Chosen. Check: --kinds sequence --sizes 1x128.
inline constexpr int kTurnsPerLook = 64, kTurnsPerLookOut = 32;

// ---- The helper thread: when it is late

/// How much later than the caller the helper may finish its half of a step. The halves are alike, so that beyond this
/// it must have lost its core.
/// Chosen; 20 µs sent it away without need. Check: benchmarks/contention.py.
inline constexpr auto kLateStep = microseconds(40);
/// Likewise for the helper's first step, in which its cache is empty, and for one that projects the inputs of others.
/// Measured: 75 µs late in the first, up to 130 in the second. With kLateStep for these the helper was sent away in
/// most calls of wide layers: GRU 1x512 6.1 → 2.6 ms, LSTM 8.2 → 3.5. Check: --kinds sequence --sizes 1x512.
inline constexpr auto kLateLongStep = microseconds(300);
/// How much later the helper may leave a shared loop: once sent away it sleeps between two looks whether it may return.
/// Chosen. Check: benchmarks/contention.py.
inline constexpr auto kLateLeaving = microseconds(200);
/// At the end of a job in parts the helper may be late by so many of the caller's longest parts: it may have begun its
/// own just before the end, and on a slower core.
/// Chosen. Check: --kinds step --sizes 64x512.
inline constexpr int kLateParts = 2;
/// How long a thread that has waited too long sleeps between two looks. The other may be waiting for its very core.
/// Chosen. Check: benchmarks/contention.py.
inline constexpr auto kNap = microseconds(10);

// ---- The helper thread: how long it rests after it was late

/// Times as long as it was waited for that the helper is not asked: at most one part in so many of the time is lost.
/// Measured: rests that doubled up to a second left it out of nine calls in ten on a machine that took a core for 60 µs
/// now and then. Check: the 95th percentiles of benchmarks/contention.py against those of one thread.
inline constexpr int kRestPerWait = 20;
/// Rests are paid in advance by time without waits, of which so much is saved at most. No rest is longer than the
/// second.
/// Measured on a system that took a core for 1 to 4 ms ten times a second, 90th percentiles of a GRU 1x512: 4.4 to 5.7
/// ms without savings, 2.8 to 3.4 with, at medians of 2.6 to 3.0. Check: likewise.
inline constexpr auto kMaxSavedTime = milliseconds(100), kMaxRest = milliseconds(200);
/// A wait of so long, and of at least one part in kLostShare of the call, means that the helper lost its core for one
/// of the system's time slices.
/// Measured: such slices take 4 to 8 ms beside busy processes. Check: likewise.
inline constexpr auto kLostSlice = microseconds(500);
inline constexpr int kLostShare = 4;
/// Calls for which the helper is not asked after that, and calls without a wait that can be saved in advance: so few
/// are late that the 95th percentile shows none of them.
/// Measured: where calls are far apart, no rest in milliseconds kept late calls below one in twenty. Check: likewise.
inline constexpr std::int64_t kRestCalls = 32, kMaxSavedCalls = 64;

// ---- How far the cores are from each other

/// How long a measured round trip is believed: the system moves virtual cores about, and a measurement takes 1 µs.
/// Chosen. Check: print `round_trip()` (runtime/helper.hpp) in a loop.
inline constexpr auto kRoundTripValid = milliseconds(50);
/// Round trips of which the shortest counts.
/// Measured: the mean of four was 15 µs once in a while, as the helper had dozed off. Check: likewise.
inline constexpr Index kRoundTripTurns = 5;

// ---- Long work in two threads: torch's worker or the helper

/// A second thread that begins so much later than the caller, and later than one part in kLateStartShare of the whole
/// time, is passed over the next time.
/// Measured: a worker woken on the caller's own core began 2 to 4 ms late, an LSTM 16x128 took 4 to 6 ms instead of
/// 2.1; the helper begins after .03 to .1 ms. Check: `unrolled bench layers --cell lstm --mode inference --shapes
/// 16x128` with ONNX Runtime among the peers, several times.
inline constexpr auto kLateStart = microseconds(200);
inline constexpr int kLateStartShare = 20;

// ---- Memory

/// Bytes above which a block is taken from the system in huge pages and kept for the next pass. The C library gives
/// such blocks back each time, as its own threshold grows up to this size.
/// Measured: 28,000 page faults a training pass of an LSTM 64x512 became 1,500, and 419 ms 385; keeping smaller blocks
/// slowed a backward pass from 6.0 to 8.5 ms. Check: --kinds training --sizes 64x512 32x1024.
inline constexpr Index kMinLargeBlock = Index{32} << 20;
/// Bytes of a huge page, as where small pages have 4 KiB.
inline constexpr Index kHugePage = Index{2} << 20;
/// Bytes of unused blocks that are kept at most. The system may have them back at any time.
/// Chosen. Check: benchmarks/memory.py.
inline constexpr Index kMaxKeptMemory = Index{512} << 20;
/// Bytes of a thread's first block of scratch memory.
/// Chosen. Check: --kinds step --sizes 1x128.
inline constexpr Index kMinScratch = Index{1} << 16;

// ---- Kernels, in rows; `tallest` is the height of the tallest tile

/// Rows of the tallest tile: their sums, 4 vectors each, the weights of one k and a scalar must fit the registers.
/// Derived: 24 of 32 registers, 12 of 16. Check: `unrolled bench layers --shapes 64x256` with each UNROLLED_CPU.
consteval Index tallest_tile(int registers) { return registers >= 32 ? 6 : 3; }
/// Rows with which a tile is too flat to hide its loads, so that the input's share of many steps is computed at once.
/// Chosen. Check: --kinds sequence --sizes 3x256 4x256 5x256.
consteval Index few_rows(Index tallest) { return tallest > 3 ? 4 : 2; }
/// Steps × rows whose input share is computed at once: several tall tiles, and still in the cache when it is used.
/// Chosen. Check: --kinds sequence --sizes 1x128 1x512.
consteval Index chunk_rows(Index tallest) { return 8 * tallest; }
/// Rows of the input's gradient whose addresses are gathered at once.
/// Chosen. Check: --kinds training --sizes 16x128.
consteval Index gathered_rows(Index tallest) { return 16 * tallest; }
/// Steps of a weight's gradient that are summed in registers before they join the total: it bounds the packed copies,
/// and two levels of sums keep the rounding error of long sequences down. Another value adds up in another order, so
/// that results change in their last bits.
/// Chosen. Check: --kinds training --sizes 16x256 64x512.
inline constexpr Index kChunkSteps = 192;

}  // namespace unrolled::tuning
