"""Plots of inspection results; the only folder of that room that draws. Each function takes arrays and returns a
matplotlib figure; `save` writes PNG and SVG, light or dark. Colours are safe for colour-blind readers, axes carry their
units, and everything is legible at a width of 800 pixels. Needs matplotlib, the extra `plot`.
"""

from unrolled.inspection.plot.curves import plot_curves
from unrolled.inspection.plot.gradients import plot_gradient_flow, plot_jacobians
from unrolled.inspection.plot.lab import plot_gradient_lab, plot_memory_lab
from unrolled.inspection.plot.mattered import plot_attention, plot_attributions, plot_connectivity, plot_units
from unrolled.inspection.plot.steps import plot_activations, plot_gates, plot_saturation, plot_unfolding
from unrolled.inspection.plot.theme import THEMES, save

__all__ = [
    "THEMES",
    "plot_activations",
    "plot_attention",
    "plot_attributions",
    "plot_connectivity",
    "plot_curves",
    "plot_gates",
    "plot_gradient_flow",
    "plot_gradient_lab",
    "plot_jacobians",
    "plot_memory_lab",
    "plot_saturation",
    "plot_unfolding",
    "plot_units",
    "save",
]
