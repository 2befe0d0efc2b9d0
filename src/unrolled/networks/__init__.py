"""Networks made from the same input, hidden and output layers, a file for each of the five shapes.

`one_to_one` has no sequence, `one_to_many` writes a sequence about one input, `many_to_one` has one output for a
sequence, `many_to_many` reads a sequence and writes another, `synced` has an output for every step (as a language model
does, whose targets are shifted by one). Networks that write share `decoder`. A network knows tensors, lengths and
states, but no files, text or tasks.
"""

from unrolled.networks.decoder import AttentionDecoder, Decoding
from unrolled.networks.forecaster import AutoregressiveForecaster, DirectForecaster
from unrolled.networks.many_to_many import ManyToManyNetwork
from unrolled.networks.many_to_one import ManyToOneNetwork, StreamedModule
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
    "StreamedModule",
    "SyncedNetwork",
    "TaggingNetwork",
]
