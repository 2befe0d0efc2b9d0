"""Networks put together from the same input, hidden and output layers, a file for each of the five shapes.

`synced` is here: an output for every step, of which the language model (targets shifted by one) is the first use. The
other four are still to come. A network knows tensors, lengths and states; it knows nothing of files, tokens' text or
tasks.
"""

from unrolled.networks.synced import SyncedNetwork

__all__ = ["SyncedNetwork"]
