"""The handwritten digits that scikit-learn carries, to learn to recognise."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from unrolled.errors import MissingDependencyError
from unrolled.storage import write_whole
from unrolled.tasks.core.contract.demonstration import Demonstration
from unrolled.tasks.core.values import Sources

#: one image in this many is held out
HELD_OUT = 6


def write_digits(folder: Path) -> Sources:
    """Write the digits as two arrays of images and labels.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingDependencyError("scikit-learn", "gallery", "the gallery's recogniser") from error
    digits = load_digits()
    images = np.clip(digits.images * 16, 0, 255).astype(np.uint8)
    held = np.arange(len(images)) % HELD_OUT == 0
    paths = folder / "train.npz", folder / "dev.npz"
    for path, chosen in zip(paths, (~held, held), strict=True):
        content = io.BytesIO()
        np.savez_compressed(content, images=images[chosen], labels=digits.target[chosen])
        write_whole(path, content.getvalue())
    return Sources((paths[0],), (paths[1],))


DEMONSTRATIONS = (
    Demonstration(
        name="digits",
        origin="public",
        about="1,797 handwritten digits of 8 × 8 pixels (Alpaydin and Kaynak 1998), which scikit-learn carries.",
        write=write_digits,
        share=0.5,
    ),
)
