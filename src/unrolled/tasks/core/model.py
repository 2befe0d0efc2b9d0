"""A trained model: what is done with it, and how it is saved."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from safetensors.torch import save as save_tensors
from torch import nn
from typing_extensions import Self

from unrolled.data.core.frames import is_frame
from unrolled.data.core.memory import as_places
from unrolled.data.tables.write import check_written, write_table
from unrolled.errors import ArgumentError
from unrolled.storage import has_part, locked, replaced_parts, write_whole
from unrolled.tasks.core.contract import I, O, Use
from unrolled.tasks.core.fitted import Fitted, Parts, own_tensors
from unrolled.tasks.core.folder.card import write_card
from unrolled.tasks.core.folder.config import WEIGHTS, ModelConfig, write_config
from unrolled.tasks.core.probe import Probe
from unrolled.tasks.core.rows.predict import RowPrediction, as_texts, opened, predicted_rows, rows_in, written_rows
from unrolled.tasks.core.values import Evaluation, Progress, silent

log = logging.getLogger("unrolled.tasks")

NOTHING: Mapping[str, object] = MappingProxyType({})


class Model(Fitted[I, O]):
    """A trained model.

    Args:
        task: what it does.
        config: how it was made.
        parts: what is read and what is answered, as fitted.
        network: the network.
        folder: where it was loaded from, if it was.
        cache: what the task mixes into the network's predictions, e.g. one writer's n-gram.
    """

    def __init__(
        self,
        task: Use[I, O, Any],
        config: ModelConfig,
        parts: Parts[I, O],
        network: nn.Module,
        folder: Path | None = None,
        cache: Any = None,
    ) -> None:
        super().__init__(config, task.options(**config.options), parts, network, folder, cache)
        self.task = task

    def evaluate(self, *paths: object, progress: Progress = silent, **options: Any) -> Evaluation:
        """Return the metrics of the task beside its baseline's, on files and folders, or rows as `train` takes them."""
        if not paths:
            raise ArgumentError("paths: evaluate needs at least one file or folder")
        self.network.eval()
        if self.folder is not None and self.output.baseline_files:
            missing = [name for name in self.output.baseline_files if not has_part(self.folder / name)]
            if len(missing) == len(self.output.baseline_files):
                log.warning("%s: missing, so that no baseline stands beside the model", self.folder / missing[0])
        return self.task.evaluate(self, tuple(place for p in paths for place in as_places(p)), progress, **options)

    def predict(self, inputs: Any, **options: Any) -> Any:
        """The prediction for one input, or a list of predictions for several (or for one that asks for several).

        Args:
            inputs: as the task reads them; or rows of a table, mappings or a data frame, that hold them in a column.
            options: of `predict`.
        """
        self.network.eval()
        inputs = as_texts(inputs) if self.task.reads == "text" else inputs
        is_several = is_frame(inputs) or not self.task.is_one_input(inputs)
        predictions = list(self.predictions(inputs if is_several else [inputs], **options))
        return predictions if is_several or len(predictions) != 1 else predictions[0]

    def predictions(self, inputs: Iterable[Any], **options: Any) -> Iterator[Any]:
        """As `predict` over several inputs, one at a time as they come."""
        self.network.eval()
        rows, inputs = rows_in(self.input, inputs)
        if not rows:
            return self.task.predict(self, inputs, **options)
        return (row.prediction for row in self.predicted_rows(inputs, **options))

    def predicted_rows(
        self, data: object, *, column: str | None = None, reading: Mapping[str, object] = NOTHING, **options: Any
    ) -> Iterator[RowPrediction]:
        """Predict for each row of tables: in order, in bounded memory.

        Args:
            data: files, rows or data frames as `train` takes them.
            column: which holds the inputs, by name or number; None for that of the training data.
            reading: how files are read, by the fields of `unrolled.data.core.dialect.TableOptions`.
            options: of `predict`.

        Raises:
            ArgumentError, DataError, StorageError: as `unrolled.tasks.core.rows.predict`.
        """
        self.network.eval()
        for table in opened(self, self.input, data, column, reading):
            yield from predicted_rows(self.task, self, table, column, options)

    def predict_table(
        self,
        data: object,
        out: str | Path,
        *,
        column: str | None = None,
        reading: Mapping[str, object] = NOTHING,
        **options: Any,
    ) -> int:
        """Write the rows of tables with predictions beside them, in columns called predicted_…, and count them.

        Args:
            data, column, reading, options: as for `predicted_rows`.
            out: a .csv, .tsv, .jsonl or .parquet file.

        Raises:
            ArgumentError, DataError, StorageError: as for `predicted_rows`, or `out` can't be written.
        """
        check_written(Path(out))
        predictions = self.predicted_rows(data, column=column, reading=reading, **options)
        return write_table(Path(out), written_rows(self.input, predictions))

    def probe(self, given: Any, limit: int = 256) -> Probe:
        """One input laid out for `unrolled.inspection`.

        Args:
            given: an input as for `predict`.
            limit: steps that are looked at; of a longer input the last ones, which the probe's `note` says.

        Raises:
            ArgumentError: this task or this input can't be looked into.
        """
        if limit < 1:
            raise ArgumentError(f"limit: expected at least 1 step, found {limit}")
        self.network.eval()
        return replace(self.task.probe(self, given, limit), options=self.task.trained_with)

    def stream(self) -> Any:
        """A session that takes input piece by piece and carries its state."""
        self.network.eval()
        return self.task.stream(self)

    def asked(self, **options: Any) -> Self:
        """The model as it is asked with some options of the task, e.g. `ngram=0` of `generate`; it shares all it has.

        Raises:
            ArgumentError: an option out of range, or one that the task does not have.
        """
        return cast(Self, self.task.asked(self, **options))

    def personalise(self, paths: object, progress: Progress = silent, **options: Any) -> Self:
        """A copy of the model, adapted to whoever wrote these files; save it to keep it.

        Args:
            paths: files and folders of theirs, or rows as `train` takes them.
            progress: told how far it has come.
            options: the task's, e.g. `method` and `minutes`; of `generate`: `uses.generate.options.PersonalOptions`.

        Raises:
            ArgumentError: for a task that has no such adaptation, or an option out of range.
        """
        self.network.eval()
        return cast(Self, self.task.personalise(self, as_places(paths), progress, **options))

    def save(self, folder: str | Path) -> None:
        """Write the model; at every moment the folder holds the model before or this one, whole.

        Raises:
            StorageError: the disk is full, the folder can't be written, or another process is writing there.
        """
        folder = Path(folder)
        with locked(folder), replaced_parts(folder) as new:
            self.task.save_parts(self.parts, new)
            self.task.save_extras(self, new)
            # one key only: safetensors writes several in a random order, and equal models are to be equal files
            write_whole(new / WEIGHTS, save_tensors(own_tensors(self.network), {"format": "pt"}))
            write_card(self.config, self.task.shape, self.parameters, new, folder.name)
            write_config(new, self.config)
        self.folder = folder


#: a model of any use
AnyModel = Model[Any, Any]
