"""Models that are served: the API schema of their task, and what they compute.

No other module of the server knows the interface of a task. Each model has a batching worker for pushes and short
requests, and from its first long request on a second one with a copy of the network: typing and batches share the
cores, but not a queue.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from unrolled.errors import ArgumentError, UnrolledError
from unrolled.serving.batching import SLICE, BatchingWorker, Compute, Costs, Priority
from unrolled.serving.limits import Limits
from unrolled.serving.metrics import Observer
from unrolled.serving.resources import DecodingThreads, Hold, MemoryBudget
from unrolled.settings import Settings
from unrolled.tasks import Model
from unrolled.tasks.core.api import Api, Bounds, Message, api_of, served_options
from unrolled.tasks.core.folder.examples import read_examples

__all__ = ["Message", "ServedModel", "copied", "size_of"]

log = logging.getLogger("unrolled.serving")

P = TypeVar("P")
R = TypeVar("R")
Options = Mapping[str, object]
#: inputs of one request that are computed together
MAX_PIECE = 8
#: how much longer a request may wait than a push
PATIENCE = 5
#: tokens written before others have a turn
TOKENS = 8


class ServedModel:
    """A model at work.

    Args:
        name: in addresses.
        model: loaded; its weights do not change any more.
        limits: of the server.
        budget: what decoded inputs are counted in.
        decoder: decodes inputs.
        observe: called with each batch.

    Attributes:
        input_type, output_type: of an input and a prediction as JSON.
        push_type, pushed_type: of a push to a stream and its answer; None for a task without streams.
        prompt_type: of a prompt and how to continue it; None for a task that does not write.
        media: content types of an input that is a whole body.
        example, push_example: a body of predict, and a push.
        no_streams: why the model has no streams; empty if it has.

    Raises:
        ArgumentError: the name can't stand in an address, or the task can't be served.
    """

    def __init__(
        self,
        name: str,
        model: Model,
        limits: Limits,
        *,
        budget: MemoryBudget | None = None,
        decoder: DecodingThreads | None = None,
        observe: Observer | None = None,
    ) -> None:
        if not name or not name.isascii() or not all(c.isalnum() or c in "-_." for c in name) or name[0] == ".":
            raise ArgumentError(f"name: expected letters, digits, -, _ and ., found {name!r}")
        self.name, self.model, self.limits = name, model.freeze(), limits
        self._api: Api = api_of(model.task)
        self.options: type[Settings] = served_options(model.task)
        self.input_type, self.output_type = self._api.Input, self._api.Output
        self.push_type, self.pushed_type, self.prompt_type = self._api.Push, self._api.Pushed, self._api.Prompt
        self.media, self.example = self._api.media, self._api.example_of(model)
        self._shown = self._kept_examples() or self.example["inputs"]
        self.budget = budget or MemoryBudget(limits.pending_bytes)
        self.decoder = decoder or DecodingThreads()
        self.costs, self._observe = Costs(), observe
        self.worker = self._new_worker()
        self._second: tuple[BatchingWorker, Model] | None = None
        self._copying = asyncio.Lock()
        self._fresh: Any = None
        self.no_streams = "" if self.push_type is not None else f"the task {model.task.name!r} has no streams"
        if not self.no_streams:
            try:
                self._fresh = self._api.open(model)
            except ArgumentError as error:
                self.no_streams = str(error)
        self.push_example = None if self.no_streams else self._api.push_example_of(model)

    @property
    def bounds(self) -> Bounds:
        """The largest input that is read."""
        limits = self.limits
        return Bounds(limits.max_characters, limits.max_pixels, limits.max_seconds, limits.max_frames, limits.max_rows)

    def describe(self) -> dict[str, Any]:
        """Return what `GET /v1/models` says of the model."""
        task, config = self.model.task, self.model.config
        return {
            "name": self.name,
            "task": task.name,
            "summary": task.summary,
            "about": config.about,
            "shape": task.shape,
            "widget": self._api.widget or self.model.input.name,
            "view": self._api.view or self.model.output.name,
            "max_characters": self.limits.max_characters,
            "parameters": self.model.parameters,
            "streams": not self.no_streams,
            "no_streams": self.no_streams or None,
            "writes": self.prompt_type is not None,
            "media": list(self.media),
            "columns": self._api.columns(self.model),
            "labels": self._api.labels(self.model),
            "options": self.options.model_json_schema(),
            "example": {**self.example, "inputs": self._shown},
            "push_example": self.push_example,
            "network": config.network,
            "fitted": {k: v for k, v in config.fitted.items() if isinstance(v, (bool, int, float, str)) or v is None},
            "result": config.result,
        }

    def _kept_examples(self) -> list[Any]:
        """Return the inputs that were kept at training; none where they are not what the model reads."""
        folder = self.model.folder
        kept = [] if folder is None else read_examples(folder)
        try:
            # the folder may come from a stranger
            for given in kept:
                self.input_type.model_validate(given)
        except ValidationError as error:
            log.warning("%s: %s errors in its examples, which are not shown", folder, error.error_count())
            return []
        return kept

    def deadline(self) -> float:
        """Return the time by which a request that comes now has to be answered, on the clock of `time.monotonic`."""
        return time.monotonic() + self.limits.deadline

    # inputs

    def reader(self, given: BaseModel) -> Callable[[], Any]:
        """Return a function that decodes an input that came as JSON."""
        return lambda: self._api.read(self.model, given, self.bounds)

    def raw_reader(self, data: bytes, content_type: str) -> Callable[[], Any]:
        """Return a function that decodes an input that is a whole body."""
        return lambda: self._api.raw(self.model, data, content_type, self.bounds)

    async def decode(self, read: Callable[[], R], deadline: float) -> R:
        """Decode an input, in a thread where that takes time.

        Raises:
            Problem: as `Decoder.run`.
            UnrolledError: the input is too large, or can't be used.
        """
        return read() if self._api.light else await self.decoder.run(read, deadline)

    # predictions

    async def predict(
        self, readers: Sequence[Callable[[], Any]], options: Settings, deadline: float
    ) -> list[dict[str, Any]]:
        """Return a prediction as JSON for each input, in order.

        A short request goes through the network with others of equal options. A long one is cut into pieces, inputs
        are decoded piece by piece, and it ends when nobody waits for it any more.

        Args:
            readers: decode the inputs.
            options: of the task.
            deadline: on the clock of `time.monotonic`.

        Raises:
            Problem: 503 or 504, as `BatchingWorker`; 413, decoded inputs that take too much memory.
            UnrolledError: an input or option that can't be used.
        """
        if self._api.light:
            # all errors come before anything is computed
            readers = [_constant(read()) for read in readers]
        chosen = options.model_dump(exclude_unset=True)
        piece = [await self.decode(readers[0], deadline)]
        seconds = self.costs.expected("predict", size_of(piece)) * len(readers)
        short = len(readers) == 1 and seconds <= SLICE
        worker, model = (self.worker, self.model) if short else await self._second_worker(deadline)
        priority = Priority.REQUEST if short else Priority.PIECE
        patience = PATIENCE * self.limits.max_wait if short else deadline - time.monotonic()
        kind = ("predict", repr(sorted(chosen.items())))
        compute = partial(self._answers, model, chosen)
        answers: list[dict[str, Any]] = []
        with worker.admit(priority, seconds, patience) as admission:
            for number, following in enumerate([*readers[1:], None], 1):
                if following is None or self._is_full(piece):
                    size = size_of(piece)
                    with Hold(self.budget, size):
                        answers += await worker.run(priority, kind, piece, compute, deadline, size)
                    pieces_left = (len(readers) - number) / len(piece)
                    admission.seconds = pieces_left * self.costs.expected("predict", size)
                    piece = []
                if following is not None:
                    piece.append(await self.decode(following, deadline))
        return answers

    def _is_full(self, piece: list[Any]) -> bool:
        """Return whether the inputs of a piece are enough to be computed."""
        many = len(piece) == MAX_PIECE or self.costs.expected("predict", size_of(piece)) > SLICE
        return many or not self._api.together

    def _answers(self, model: Model, options: Options, pieces: Sequence[list[Any]]) -> list[Any]:
        """Return for each piece its answers, or the error that it ran into; runs in a worker's thread."""
        api = self._api
        if api.together:
            predictions = iter(list(model.predictions([given for piece in pieces for given in piece], **options)))
            return [[api.answer(model, next(predictions), given) for given in piece] for piece in pieces]
        answers: list[Any] = []
        for piece in pieces:
            try:
                # an input may have several predictions
                pairs = [(one, given) for given in piece for one in model.predictions([given], **options)]
                answers.append([api.answer(model, one, given) for one, given in pairs])
            except UnrolledError as error:
                answers.append(error)
        return answers

    # writing

    async def write(self, asked: BaseModel, deadline: float) -> AsyncIterator[str]:
        """Yield a text that continues a prompt, in pieces as they are written.

        Args:
            asked: of the type `prompt_type`.
            deadline: on the clock of `time.monotonic`.

        Raises:
            Problem, UnrolledError: as `predict`.
        """
        size = len(asked.model_dump_json())
        seconds = self.costs.expected("prompt", size)
        worker, model = (self.worker, self.model) if seconds <= SLICE else await self._second_worker(deadline)

        def begin(_: Sequence[None]) -> list[Iterator[str] | Exception]:
            return [self._api.write(model, asked, self.bounds)]

        def some(texts: Sequence[Iterator[str]]) -> list[list[str] | Exception]:
            return [[piece for _, piece in zip(range(TOKENS), text, strict=False)] for text in texts]

        with worker.admit(Priority.PIECE, seconds, deadline - time.monotonic()):
            text = await worker.run(Priority.PIECE, "prompt", None, begin, deadline, size)
            while pieces := await worker.run(Priority.PIECE, "write", text, some, deadline):
                if written := "".join(pieces):
                    yield written

    # streams

    def open(self) -> Any:
        """Return a new stream: a fork of one that has read nothing, which costs no step."""
        return self._fresh.fork()

    def save(self, session: Any) -> bytes:
        """Return the state of a stream."""
        return self._api.save(session)

    def held(self, session: Any) -> int:
        """Return about how many bytes a stream keeps."""
        return self._api.held(session)

    def restore(self, state: bytes) -> Any:
        """Return the stream whose state `save` returned.

        Raises:
            StateError: the state is of another model, or damaged.
        """
        return self._api.restore(self.model, state)

    def samples(self, data: bytes, query: Mapping[str, str]) -> Any:
        """Return the push that a binary message of a WebSocket stands for.

        Raises:
            ArgumentError: the task takes no binary messages, or not such ones.
        """
        return self._api.samples(data, query, self.bounds)

    async def check_push(self, given: Any, deadline: float) -> None:
        """Check that a push is within the bounds.

        Raises:
            TooLarge: it is not.
            Problem: as `decode`.
        """
        await self.decode(lambda: self._api.check(given, self.bounds), deadline)

    def push_all(self, pushes: Sequence[tuple[Any, Any]]) -> list[Any]:
        """Push to several streams; runs in the worker's thread.

        Args:
            pushes: streams, each once, and what is pushed to each.

        Returns:
            For each the answer as JSON, or the UnrolledError that it ran into; then the stream is as it was.
        """
        return self._api.push(self.model, pushes)

    async def push(self, payload: P, compute: Compute[P, R], came: float) -> R:
        """Push to a stream, together with others.

        Args:
            payload: what `compute` gets of this push.
            compute: pushes to several streams.
            came: when the push arrived, on the clock of `time.monotonic`.

        Raises:
            Problem, UnrolledError: as `BatchingWorker`.
        """
        patience = came + self.limits.max_wait - time.monotonic()
        with self.worker.admit(Priority.PUSH, self.costs.expected("push", 1), patience):
            return await self.worker.run(Priority.PUSH, "push", payload, compute, came + self.limits.deadline)

    # workers

    async def network_copy(self, deadline: float, *, requires_grad: bool = False) -> Model:
        """Return a copy of the model, made where nothing computes with it."""

        def work(_: Sequence[None]) -> list[Model | Exception]:
            return [copied(self.model, requires_grad)]

        return await self.worker.run(Priority.REQUEST, "copy", None, work, deadline)

    async def _second_worker(self, deadline: float) -> tuple[BatchingWorker, Model]:
        """Return the worker of long requests and its copy of the model; both are made the first time."""
        async with self._copying:
            if self._second is None:
                model = await self.network_copy(deadline)
                self._second = self._new_worker(), model
            return self._second

    def _new_worker(self) -> BatchingWorker:
        limits = self.limits
        return BatchingWorker(
            self.name,
            queue=limits.queue,
            max_batch=limits.max_batch,
            batch_wait=limits.batch_wait,
            costs=self.costs,
            observe=self._observe,
        )

    def close(self) -> None:
        """End the workers when the jobs that wait are done."""
        self.worker.close(self.limits.grace)
        if self._second is not None:
            self._second[0].close(self.limits.grace)


def copied(model: Model, requires_grad: bool = False) -> Model:
    """Return a model with a network of its own; all that was fitted, and the encoders, are shared."""
    network = copy.deepcopy(model.network).eval().requires_grad_(requires_grad)
    return Model(model.task, model.config, model.parts, network, model.folder, model.cache)


def size_of(given: object, depth: int = 4) -> int:
    """Return about how many bytes a decoded input takes: its arrays, texts, and what holds them.

    >>> size_of(["ab", np.zeros(4)])
    50
    """
    if isinstance(given, np.ndarray):
        return given.nbytes
    if isinstance(given, (str, bytes)):
        return len(given)
    if isinstance(given, (list, tuple)):
        parts: Sequence[object] = given
    elif isinstance(given, Mapping):
        parts = list(given.values())
    else:
        parts = list(getattr(given, "__dict__", {}).values())
    return 8 + 8 * len(parts) if depth == 0 else sum(size_of(one, depth - 1) for one in parts) + 8 * len(parts)


def _constant(value: R) -> Callable[[], R]:
    return lambda: value
