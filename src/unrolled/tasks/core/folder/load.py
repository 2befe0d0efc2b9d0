"""A model's folder, read. Nothing in it is executed or unpickled."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from unrolled.errors import ArgumentError, ModelError, UnrolledError
from unrolled.storage import RESTORE, available_memory, part_path, read_part
from unrolled.tasks.core.catalog import task_of
from unrolled.tasks.core.fitted import check_fit
from unrolled.tasks.core.folder.config import CONFIG, WEIGHTS, read_config
from unrolled.tasks.core.folder.files import read_shapes
from unrolled.tasks.core.model import AnyModel, Model


def load(folder: str | Path, device: str | torch.device = "cpu") -> AnyModel:
    """Read a model folder. Nothing in it is executed or unpickled.

    Raises:
        StorageError: there is no such folder, or it can't be read.
        ModelError: it is no model, is corrupt, of a later version, or its training has not come to an end.
    """
    folder = Path(folder)
    config = read_config(folder)
    try:
        task = task_of(config)
    except ArgumentError as error:
        raise ModelError(f"{folder / CONFIG}: {error}; is the package that declares it installed?") from error
    path = folder / WEIGHTS
    if not part_path(path).exists():
        if not config.result:
            raise ModelError(f"{folder}: training has not come to an end yet; go on with unrolled train … --resume")
        raise ModelError(f"{path}: missing; {RESTORE}")
    try:
        task.options(**config.options)
        task.check_fitted(config.fitted)
    except ArgumentError as error:
        raise ModelError(f"{folder / CONFIG}: corrupt, {error}") from error
    parts = task.load_parts(folder)
    # sizes in a stranger's config.json may be anything: no memory is taken before the weights are seen to be so large
    shapes = read_shapes(path)
    try:
        with torch.device("meta"):
            check_fit(task.build(config.network, parts), shapes, str(path))
    except UnrolledError:
        raise
    except (RuntimeError, ValueError, ArithmeticError, LookupError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(f"{folder / CONFIG}: corrupt, its network can't be built ({reason})") from error
    try:
        tensors = load_tensors(read_part(path, available_memory()))
    except (SafetensorError, ValueError) as error:
        raise ModelError(f"{path}: corrupt or cut short ({error}); {RESTORE}") from error
    network = task.build(config.network, parts)
    network.load_state_dict(tensors, strict=False)
    network.to(device).eval()
    return Model(task, config, parts, network, folder, task.load_cache(folder, parts))
