"""A model's folder, read. Nothing in it is executed or unpickled."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from unrolled.errors import ArgumentError, ModelError
from unrolled.tasks.core.catalog import task_named
from unrolled.tasks.core.fitted import check_fit
from unrolled.tasks.core.folder.config import CONFIG, read_config
from unrolled.tasks.core.model import WEIGHTS, AnyModel, Model


def load(folder: str | Path, device: str | torch.device = "cpu") -> AnyModel:
    """Read a model folder. Nothing in it is executed or unpickled.

    Raises:
        StorageError: there is no such folder, or it can't be read.
        ModelError: it is no model, is corrupt, of a later version, or its training has not come to an end.
    """
    folder = Path(folder)
    config = read_config(folder)
    try:
        task = task_named(config.task)
    except ArgumentError as error:
        raise ModelError(f"{folder / CONFIG}: {error}; is the package that declares it installed?") from error
    path = folder / WEIGHTS
    if not path.is_file():
        if not config.result:
            raise ModelError(f"{folder}: training has not come to an end yet; go on with unrolled train … --resume")
        raise ModelError(f"{path}: missing; restore it from a copy of the model")
    try:
        task.check_fitted(config.fitted)
    except ArgumentError as error:
        raise ModelError(f"{folder / CONFIG}: corrupt, {error}") from error
    parts = task.load_parts(folder)
    try:
        tensors = load_tensors(path.read_bytes())
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path}: corrupt or cut short ({error}); restore it from a copy of the model") from error
    # sizes in a stranger's config.json may be anything: no memory is taken before the weights are seen to be so large
    with torch.device("meta"):
        check_fit(task.build(config.network, parts), tensors, str(path))
    network = task.build(config.network, parts)
    network.load_state_dict(tensors, strict=False)
    network.to(device).eval()
    return Model(task, config, parts, network, folder, task.load_cache(folder, parts))
