"""Networks put together from the same input, hidden and output layers, a file for each of the five shapes.

`one_to_one` repeats nothing, `one_to_many` writes about one input, `many_to_one` has one output for a whole sequence,
`many_to_many` reads one and writes another, `synced` has an output for every step (the language model: targets shifted
by one). A network knows tensors, lengths and states; it knows nothing of files, tokens' text or tasks.
"""

from unrolled.networks.forecaster import AutoregressiveForecaster, DirectForecaster
from unrolled.networks.many_to_many import AttentionDecoder, Decoding, ManyToManyNetwork
from unrolled.networks.many_to_one import ManyToOneNetwork
from unrolled.networks.one_to_many import OneToManyNetwork
from unrolled.networks.one_to_one import FeedForward, OneToOneNetwork
from unrolled.networks.synced import SyncedNetwork
from unrolled.networks.tagging import TaggingNetwork

__all__ = [
    "AttentionDecoder",
    "AutoregressiveForecaster",
    "Decoding",
    "DirectForecaster",
    "FeedForward",
    "ManyToManyNetwork",
    "ManyToOneNetwork",
    "OneToManyNetwork",
    "OneToOneNetwork",
    "SyncedNetwork",
    "TaggingNetwork",
]
