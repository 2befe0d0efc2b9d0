"""The conformance checks that our own cells, layers and engines pass, for those of others.

`check_cell`, `check_layer` and `check_engine` run a list of named checks and raise `ConformanceError` from the first
that fails; `cell_checks`, `layer_checks` and `engine_checks` are the lists themselves, for a test runner to walk over.
Bad inputs stand in `refusals` as data. No test framework is needed.
"""

from unrolled.testing.cells import cell_checks, check_cell
from unrolled.testing.compare import Check, ConformanceError, run_checks, tolerance
from unrolled.testing.conditions import poisoned, strided, threads, unchanged
from unrolled.testing.engines import check_engine, engine_checks
from unrolled.testing.layers import check_layer, layer_checks
from unrolled.testing.refusals import Refusal, require_refusal

__all__ = [
    "Check",
    "ConformanceError",
    "Refusal",
    "cell_checks",
    "check_cell",
    "check_engine",
    "check_layer",
    "engine_checks",
    "layer_checks",
    "poisoned",
    "require_refusal",
    "run_checks",
    "strided",
    "threads",
    "tolerance",
    "unchanged",
]
