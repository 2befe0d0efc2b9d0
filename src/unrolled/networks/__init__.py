"""Networks put together from the same input, hidden and output layers, a file for each of the five shapes.

`synced` has an output for every step (the language model, whose targets are shifted by one), `many_to_one` one for a
whole sequence. A network knows tensors, lengths and states; it knows nothing of files, tokens' text or
tasks.
"""

from unrolled.networks.many_to_one import ManyToOneNetwork
from unrolled.networks.synced import SyncedNetwork

__all__ = ["ManyToOneNetwork", "SyncedNetwork"]
