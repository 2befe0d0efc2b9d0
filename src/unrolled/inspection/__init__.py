"""The inside of a recurrent network, as plain arrays; `plot` alone draws, and `report` alone writes HTML.

Everything starts from a `Probe` (`Model.probe`): one input on its way through a live model. `unfolding` shows every
step, forwards and backwards; `gradients` follows the error back through time and gives a verdict; `gates` measures
saturation, `neurons` finds what single units track, `attribution` and `connectivity` tell which inputs matter, and
`attention` where the network looks. The `lab` trains small networks on problems that need memory.
"""

from unrolled.inspection.attention import AttentionMap, attention_maps
from unrolled.inspection.attribution import Attribution, integrated_gradients, occlusion, saliency
from unrolled.inspection.connectivity import Connectivity, connectivity
from unrolled.inspection.gates import GateStatistics, gate_statistics
from unrolled.inspection.gradients import GradientFlow, Jacobians, gradient_flow, jacobians
from unrolled.inspection.neurons import RankedUnit, UnitHypothesis, hypotheses, rank_units
from unrolled.inspection.unfolding import UnfoldedNetwork, unfold_network

__all__ = [
    "AttentionMap",
    "Attribution",
    "Connectivity",
    "GateStatistics",
    "GradientFlow",
    "Jacobians",
    "RankedUnit",
    "UnfoldedNetwork",
    "UnitHypothesis",
    "attention_maps",
    "connectivity",
    "gate_statistics",
    "gradient_flow",
    "hypotheses",
    "integrated_gradients",
    "jacobians",
    "occlusion",
    "rank_units",
    "saliency",
    "unfold_network",
]
