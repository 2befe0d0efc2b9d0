"""Leaving and arriving: into existing torch programs, and weights and graphs from and to other libraries.

`accelerate` makes torch.nn's recurrent layers inside any module ours, in place, and `restore` undoes it.
"""

from unrolled.export.accelerate import Report, accelerate, restore

__all__ = ["Report", "accelerate", "restore"]
