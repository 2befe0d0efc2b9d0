"""The native engine: C++ kernels of our own behind the contract. See docs/engine.md.

`engine` keeps the contract of an engine, `prepared` that of short calls, `packed` the packed weights; `binding`
describes the compiled module `unrolled._native`, absent where the package was installed without a C++ compiler.
"""

from unrolled.kernels.native.binding import cpu_variant, cpu_variants, single_thread_reason
from unrolled.kernels.native.engine import NativeEngine
from unrolled.kernels.native.packed import use_cpu_variant

__all__ = ["NativeEngine", "cpu_variant", "cpu_variants", "single_thread_reason", "use_cpu_variant"]
