"""config.json of a model's folder: all that is needed to build the network again, and how it came about."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, ValidationError

from unrolled.errors import ModelError, StorageError
from unrolled.storage import has_part, write_json
from unrolled.tasks.core.folder.files import read_json
from unrolled.types import Json

FORMAT = "unrolled.model"
VERSION = 1
CONFIG, WEIGHTS = "config.json", "model.safetensors"


#: a size, a count or a probability
Amount = Annotated[StrictInt | StrictFloat, Field(ge=0, le=1 << 31, allow_inf_nan=False)]


class ModelConfig(BaseModel):
    """config.json: all that is needed to build the network again, and how it came about.

    Attributes:
        task: the task's name.
        about: what somebody said the data is, for the card and the page.
        options: what the user chose of the task's options.
        network: what `Use.build` reads.
        training: the training settings.
        batching: batch size, window and the like.
        data: what the model was trained on: fingerprint and counts.
        sources: name, files and bytes of each path it was read from.
        fitted: what was fitted after training, e.g. thresholds.
        result: the outcome of training; empty while it goes on.
        base: what the model was made from: name and task of an older one, and its metrics before and after.
        versions: of unrolled, torch and Python, at training.
    """

    model_config = ConfigDict(extra="forbid")

    format: Literal["unrolled.model"] = "unrolled.model"
    version: int = VERSION
    task: str
    about: str = ""
    options: Json
    network: Json
    training: Json
    batching: dict[str, Amount] = {}
    data: Json = {}
    sources: dict[str, list[list[str | int]]] = {}
    fitted: Json = {}
    result: Json = {}
    base: Json = {}
    versions: dict[str, str] = {}

    def count(self, name: str, default: int) -> int:
        """Return a count of the data that the model was trained on.

        Raises:
            ModelError: it is none.
        """
        value = self.data.get(name, default)
        if type(value) is not int or value < 0:
            raise ModelError(f"{CONFIG}: corrupt, data.{name}: expected a count, found {value!r}")
        return value


def read_config(folder: Path) -> ModelConfig:
    """config.json, validated.

    Raises:
        StorageError, ModelError: as `load`.
    """
    path = folder / CONFIG
    if not folder.is_dir():
        raise StorageError(f"{folder}: no such model folder")
    if not has_part(path):
        raise ModelError(f"{folder}: not a model folder, it has no {CONFIG}")
    raw = read_json(path)
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise ModelError(f"{path}: not a model of unrolled (its format is not {FORMAT!r})")
    version = raw.get("version")
    if isinstance(version, int) and version > VERSION:
        raise ModelError(f"{path}: of a later release (format version {version}, this one reads {VERSION}); upgrade")
    try:
        return ModelConfig(**raw)
    except (ValidationError, TypeError) as error:
        first = str(error).splitlines()[1:2] or [str(error)]
        raise ModelError(f"{path}: corrupt, {first[0].strip()!r} does not fit") from error


def write_config(folder: Path, config: ModelConfig) -> None:
    """Write config.json."""
    content = {name: value for name, value in config.model_dump().items() if value or name not in ("about", "base")}
    write_json(folder / CONFIG, content)
