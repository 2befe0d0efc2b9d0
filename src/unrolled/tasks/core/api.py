"""The contract of a wire."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, create_model

from unrolled.errors import ArgumentError, UnrolledError
from unrolled.settings import Settings

if TYPE_CHECKING:
    from unrolled.tasks.core.contract import Task
    from unrolled.tasks.core.model import Model

#: which of the page's tabs an input is tried in
View = Literal["write", "translate", "entities", "feeling", "caption", "recognize", "listen", "frames", "forecast"]

#: the largest value that a request may give to an option that costs time or memory
CEILINGS: Mapping[str, int] = {
    "n": 10,
    "n_best": 10,
    "beam_size": 16,
    "max_words": 50,
    "max_tokens": 2_000,
    "samples": 1_000,
    "horizon": 2_000,
    "most_words": 200,
}
#: options that bound nothing by default, and do so here
BOUNDED = ("most_words",)


class TooLarge(ArgumentError):
    """An input beyond what the server takes in one request: what, how large, and the most."""


@dataclass(frozen=True)
class Bounds:
    """The largest input that is read.

    Attributes:
        characters: of a text.
        pixels: of an image, or of one frame, before it is scaled.
        seconds: of sound or video.
        frames: of a clip.
        rows: of a table, or of an array pushed to a stream.
    """

    characters: int = 20_000
    pixels: int = 25_000_000
    seconds: float = 300.0
    frames: int = 3_000
    rows: int = 100_000


class Message(BaseModel):
    """JSON from a stranger: unknown fields are refused, and so are NaN and infinities."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class Push(Message):
    """What is pushed to a stream; each task has its own."""


class Wire:
    """How one use is spoken to. Has no state of its own.

    Attributes:
        view: the page's tab.
        Input: one input of `predict`.
        Output: a prediction, as its `as_json()` writes it.
        media: content types that a request may carry an input in as it is, without JSON; `Wire.raw` reads them.
        Pushed: what comes back from a push; None where the task has no streams.
        Push: what may be pushed.
        together: whether inputs may go through the network side by side, those of several requests among them:
            `predict` gives one prediction for each, and the same to the last bit whatever is beside it. If not, each
            input is predicted by itself, and may have several predictions.
        light: whether `read` and `check` take no time to speak of, as for texts.
        example: inputs and options, for the documentation; see `example_of`.
        push_example: what is pushed, for the documentation; see `push_example_of`.
        Prompt: what `write` goes on from, and how; None where the task does not write.
    """

    view: ClassVar[View]
    Input: ClassVar[type[BaseModel]]
    Output: ClassVar[type[BaseModel]]
    media: ClassVar[tuple[str, ...]] = ()
    Push: ClassVar[type[Push] | None] = None
    Pushed: ClassVar[type[BaseModel] | None] = None
    together: ClassVar[bool] = True
    light: ClassVar[bool] = False
    example: ClassVar[dict[str, Any]]
    push_example: ClassVar[dict[str, Any]] = {}
    Prompt: ClassVar[type[BaseModel] | None] = None

    def read(self, model: Model, given: Any, bounds: Bounds) -> Any:
        """What `predict` and `inspect` of the task take, from an `Input`.

        Raises:
            TooLarge: beyond the bounds.
            ArgumentError, DataError: what can't be read.
        """
        raise NotImplementedError

    def raw(self, model: Model, data: bytes, content_type: str, bounds: Bounds) -> Any:
        """The same from a request's body as it is, of one of the types in `media`."""
        raise NotImplementedError

    def answer(self, model: Model, prediction: Any, given: Any) -> dict[str, Any]:
        """A prediction as JSON that `Output` describes. May run the network, for what belongs beside a prediction.

        Args:
            prediction: the task's.
            given: what `read` made of the input it is for.
        """
        found: dict[str, Any] = prediction.as_json()
        return found

    def check(self, push: Any, bounds: Bounds) -> None:
        """See that what is pushed is within the bounds, before it waits for its turn.

        Raises:
            TooLarge: it isn't.
        """

    def open(self, model: Model) -> Any:
        """A new stream: the task's session, or something around it with `push`, `fork`, `save` and `load`.

        Raises:
            ArgumentError: this model can't be streamed; says what to train instead.
        """
        return model.stream()

    def push(self, model: Model, pairs: Sequence[tuple[Any, Any]]) -> list[Any]:
        """Push to several streams at once.

        Args:
            pairs: streams, each once, and what is pushed to each (a `Push`, or what `samples` gave).

        Returns:
            For each the answer, JSON that `Pushed` describes, or the UnrolledError that it ran into; a stream with an
            error is as it was.
        """
        raise NotImplementedError

    def save(self, stream: Any) -> bytes:
        """A stream's state."""
        data: bytes = stream.state.to_bytes()
        return data

    def restore(self, model: Model, data: bytes) -> Any:
        """A stream that goes on from what `save` gave.

        Raises:
            StateError: it is of another model, or none.
        """
        from unrolled.layers import StreamState

        return self.open(model).resume(StreamState.from_bytes(data, model.fingerprint))

    def write(self, model: Model, asked: Any, bounds: Bounds) -> Iterator[str]:
        """A text written on from a prompt, in pieces as they come.

        Args:
            model: the model.
            asked: of the type `Prompt`.
            bounds: of the prompt.

        Raises:
            TooLarge: beyond the bounds.
            ArgumentError: an option out of range.
        """
        raise ArgumentError("prompt: this model does not write")

    def samples(self, data: bytes, query: Mapping[str, str], bounds: Bounds) -> Any:
        """What `push` takes, from a binary message of a WebSocket.

        Args:
            data: the message.
            query: of the WebSocket's address.
            bounds: as for `check`.

        Raises:
            ArgumentError: this task takes no binary messages, or not such ones.
        """
        raise ArgumentError("message: this model takes messages of text (JSON), not binary ones")

    def example_of(self, model: Model) -> dict[str, Any]:
        """`example` as this model reads it: as many numbers as it takes, and all that it asks for beside them."""
        return self.example

    def push_example_of(self, model: Model) -> dict[str, Any]:
        """`push_example`, likewise."""
        return self.push_example

    def labels(self, model: Model) -> list[str]:
        """All that a model may call a thing, where it gives names to things: the types of entities, classes, labels."""
        return []

    def columns(self, model: Model) -> list[str]:
        """Names of the features of a step, in order, where a model reads tables whose columns have names."""
        return []

    def held(self, stream: Any) -> int:
        """The bytes that a stream keeps, about."""
        from unrolled.layers.recurrent.state import tensors_of

        state = stream.state
        return sum(t.numel() * t.element_size() for t in tensors_of(state.tensors)) + 1024


def one_by_one(pairs: Sequence[tuple[Any, Any]], push: Callable[[Any, Any], Any]) -> list[Any]:
    """`push(stream, given)` for each pair, or the error that it ran into; then the stream is as it was."""
    found: list[Any] = []
    for stream, given in pairs:
        twin = stream.fork()
        try:
            found.append(push(twin, given))
        except UnrolledError as error:
            found.append(error)
        else:
            stream.__dict__.update(twin.__dict__)
    return found


def served_options(task: Task) -> type[Settings]:
    """The options of `predict` that a request may give: none that names a file, none beyond its ceiling."""
    fields: dict[str, Any] = {}
    for name, field in task.predict_options.model_fields.items():
        # an input says by itself when it begins
        if name in ("batch_size", "start") or _mentions(field.annotation, Path):
            continue
        fields[name] = (field.annotation, field)
        if name in CEILINGS:
            below: Any = Annotated[int, Field(ge=1, le=CEILINGS[name])]
            default = field.get_default(call_default_factory=True)
            if name in BOUNDED:
                kind, default = below, CEILINGS[name]
            else:
                kind = below | None if type(None) in get_args(field.annotation) else below
            fields[name] = (kind, Field(default, description=field.description))
    return create_model(f"{task.name.capitalize()}Options", __base__=Settings, **fields)


def _mentions(annotation: Any, kind: type) -> bool:
    if get_origin(annotation) in (Union, types.UnionType, Annotated, tuple, list, dict):
        return any(_mentions(part, kind) for part in get_args(annotation))
    return isinstance(annotation, type) and issubclass(annotation, kind)
