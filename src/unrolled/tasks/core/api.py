"""How uses are spoken to over HTTP: what an input looks like as JSON, what comes back, how a stream is fed.

Only the server imports this and the files called `api.py`. They read what strangers send, so nothing in them touches
the file system, and everything is bounded.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, create_model

from unrolled.errors import ArgumentError, UnrolledError
from unrolled.settings import Settings
from unrolled.tasks.core.catalog import module_beside
from unrolled.tasks.core.results import result_type
from unrolled.types import Json

if TYPE_CHECKING:
    from unrolled.tasks.core.contract import AnyUse
    from unrolled.tasks.core.model import AnyModel

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
    """The message that is pushed to a stream; each task has its own."""


class StreamPlace(BaseModel):
    """Where a stream is after a push."""

    position: int = Field(description="steps that were read in all")


class InputApi:
    """The half of an API that an input brings: what is sent, and how it is read. Has no state of its own.

    Attributes:
        Input: one input of `predict`.
        media: content types that a request may carry an input in as it is, without JSON; `raw` reads them.
        Push: what may be pushed to a stream; None where this input is not streamed.
        Place: where a stream is after a push.
        light: whether `read` and `check` take no time to speak of, as for texts.
        example: one input, for the documentation; see `example_of`.
        push_example: what is pushed, for the documentation; see `push_example_of`.
        widget: of the page; empty for one of the input's name.
    """

    Input: ClassVar[type[BaseModel]]
    widget: ClassVar[str] = ""
    media: ClassVar[tuple[str, ...]] = ()
    Push: ClassVar[type[Push] | None] = None
    Place: ClassVar[type[BaseModel]] = StreamPlace
    light: ClassVar[bool] = False
    example: ClassVar[Json] = {}
    push_example: ClassVar[Json] = {}

    def read(self, model: AnyModel, given: Any, bounds: Bounds) -> Any:
        """Return what `predict` and `inspect` take, from an `Input`.

        Raises:
            TooLarge: beyond the bounds.
            ArgumentError, DataError: it can't be read.
        """
        raise NotImplementedError

    def raw(self, model: AnyModel, data: bytes, content_type: str, bounds: Bounds) -> Any:
        """Return the same from a request's body as it is, of one of the types in `media`."""
        raise NotImplementedError

    def check(self, push: Any, bounds: Bounds) -> None:
        """Check that what is pushed is within the bounds, before it waits for its turn.

        Raises:
            TooLarge: it isn't.
        """

    def samples(self, data: bytes, query: Mapping[str, str], bounds: Bounds) -> Any:
        """Return what `push` takes, from a binary message of a WebSocket.

        Args:
            data: the message.
            query: of the WebSocket's address.
            bounds: as for `check`.

        Raises:
            ArgumentError: this input takes no binary messages, or not such ones.
        """
        raise ArgumentError("message: this model takes messages of text (JSON), not binary ones")

    def open(self, model: AnyModel) -> Any:
        """Return a new stream: the use's session, or something around it with `push`, `fork`, `save` and `load`.

        Raises:
            ArgumentError: this model can't be streamed; says what to train instead.
        """
        return model.stream()

    def piece(self, model: AnyModel, push: Any) -> Any:
        """Return what a session's `push` takes, from a `Push` or from what `samples` gave."""
        raise NotImplementedError

    def take(self, model: AnyModel, stream: Any, push: Any) -> tuple[Json, Any, Any]:
        """Push to one stream.

        Returns:
            The fields of `Place`; what the session's `push` returned; and the session as if its input ended here.
        """
        pushed = stream.push(self.piece(model, push))
        return {"position": stream.position}, pushed, stream

    def example_of(self, model: AnyModel) -> Json:
        """Return inputs and options as this model reads them, for the documentation."""
        return self.example

    def push_example_of(self, model: AnyModel) -> Json:
        """Return what may be pushed to a stream of this model, for the documentation."""
        return self.push_example

    def columns(self, model: AnyModel) -> list[str]:
        """Return the names of the features of a step, where a model reads tables whose columns have names."""
        return []

    def held(self, stream: Any) -> int:
        """Return about how many bytes a stream keeps."""
        from unrolled.layers.recurrent.state import tensors_of

        state = stream.state
        return sum(t.numel() * t.element_size() for t in tensors_of(state.tensors)) + 1024


class OutputApi:
    """The half of an API that an output brings: what is answered. Has no state of its own.

    Attributes:
        view: of the page; empty for one of the output's name.
        Said: what is answered to a push, beside the input's `Place`; None where this output is not streamed.
        together: whether inputs may go through the network side by side, those of several requests among them:
            `predict` gives one prediction for each, and the same to the last bit whatever is beside it. If not, each
            input is predicted by itself, and may have several predictions.
        Prompt: what `write` starts from, and how; None where the use does not write.
    """

    view: ClassVar[str] = ""
    Said: ClassVar[type[BaseModel] | None] = None
    # matrices of other heights are multiplied in another order: the last bits depend on what stands beside an input
    together: ClassVar[bool] = False
    Prompt: ClassVar[type[BaseModel] | None] = None

    def answer(self, model: AnyModel, prediction: Any, given: Any) -> Json:
        """Return a prediction as JSON. May run the network, for what belongs beside a prediction.

        Args:
            model: the model.
            prediction: of the use.
            given: what `read` made of the input it is for.
        """
        result: Json = prediction.as_json()
        return result

    def said(self, model: AnyModel, pushed: Any, session: Any) -> Json:
        """Return the answer to a push: JSON that `Said` describes.

        Args:
            model: the model.
            pushed: what the session's `push` returned.
            session: as if its input ended here.
        """
        raise NotImplementedError

    def write(self, model: AnyModel, asked: Any, bounds: Bounds) -> Iterator[str]:
        """Yield a text written on from a prompt, in pieces as they come.

        Args:
            model: the model.
            asked: of the type `Prompt`.
            bounds: of the prompt.

        Raises:
            TooLarge: beyond the bounds.
            ArgumentError: an option out of range.
        """
        raise ArgumentError("prompt: this model does not write")

    def grown(self, stream: Any) -> int:
        """Return about how many bytes the answers of a stream have grown to, beside its state."""
        return 0

    def labels(self, model: AnyModel) -> list[str]:
        """Return all names that a model may give a thing: the types of entities, classes, labels."""
        return []


class Api(InputApi, OutputApi):
    """How one use is spoken to: an input's half and an output's. All that the server knows of a use.

    Attributes:
        Output: a prediction, as its `as_json()` writes it.
        Pushed: what comes back from a push; None where the use has no streams.
    """

    def __init__(self, use: AnyUse) -> None:
        self.use = use

    @cached_property
    def Output(self) -> type[BaseModel]:
        """A prediction."""
        return result_type(self.use.input.Shown, self.use.output.Result)

    @cached_property
    def Pushed(self) -> type[BaseModel] | None:
        """The type of the answer to a push."""
        if self.Push is None or self.Said is None:
            return None
        bases: Any = (self.Said, self.Place)
        return create_model(f"{self.use.name.capitalize()}Push", __base__=bases)

    def push(self, model: AnyModel, pairs: Sequence[tuple[Any, Any]]) -> list[Any]:
        """Push to several streams at once.

        Args:
            model: the model.
            pairs: streams, each once, and what is pushed to each (a `Push`, or what `samples` gave).

        Returns:
            For each the answer, JSON that `Pushed` describes, or the UnrolledError that it ran into; a stream with an
            error is as it was.
        """

        def push(stream: Any, given: Any) -> Json:
            place, pushed, session = self.take(model, stream, given)
            return {**place, **self.said(model, pushed, session)}

        return one_by_one(pairs, push)

    def held(self, stream: Any) -> int:
        """Return about how many bytes a stream keeps, its answers among them."""
        return super().held(stream) + self.grown(stream)

    def save(self, stream: Any) -> bytes:
        """Return a stream's state."""
        data: bytes = stream.state.to_bytes()
        return data

    def restore(self, model: AnyModel, data: bytes) -> Any:
        """Return a stream that is resumed from what `save` gave.

        Raises:
            StateError: it is of another model, or none.
        """
        from unrolled.layers import StreamState

        return self.open(model).resume(StreamState.from_bytes(data, model.fingerprint))


def api_of(use: AnyUse) -> Api:
    """Return how a use is spoken to: by its own `api.py`, or by those of its input and its output, joined.

    Raises:
        ArgumentError: one of them has none.
    """
    own = module_beside(type(use).__module__, "api")
    if own is not None:
        api: Api = own.Api(use)
        return api
    halves = []
    for part in (use.input, use.output):
        # one that is derived from another is spoken to alike
        packages = (kind.__module__.rpartition(".")[0] for kind in part.__mro__)
        beside = next((found for name in packages if name and (found := module_beside(name, "api"))), None)
        if beside is None:
            raise ArgumentError(f"the task {use.name!r} can't be served: {part.__module__} has no api.py beside it")
        halves.append(beside.Api)
    # an input that could be pushed is of no use to an output that answers wholes alone
    own_fields = {"Push": None} if halves[1].Said is None else {}
    joined: Api = type("Api", (*halves, Api), own_fields)(use)
    return joined


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


def served_options(task: AnyUse) -> type[Settings]:
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
