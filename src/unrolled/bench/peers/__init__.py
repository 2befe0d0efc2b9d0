"""The contenders: our layer, and one file for each library that it is measured against, behind one contract.

A library is imported only when its peer is used, so that none has to be installed.
"""

from __future__ import annotations

from unrolled.bench.peers.base import Peer, Way
from unrolled.bench.peers.compiled import TorchCompile
from unrolled.bench.peers.eager import TorchEager
from unrolled.bench.peers.jax_scan import JaxScan
from unrolled.bench.peers.onnx_runtime import OnnxRuntime
from unrolled.bench.peers.open_vino import OpenVino
from unrolled.bench.peers.ours import Ours

PEERS: dict[str, Peer] = {
    peer.name: peer for peer in (TorchEager(), TorchCompile(), JaxScan(), OnnxRuntime(), OpenVino())
}

__all__ = ["PEERS", "Ours", "Peer", "Way"]
