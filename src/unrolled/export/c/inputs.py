"""Input layers as plans of C. Letters: I input of the stack, F features, K output classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from unrolled.errors import ArgumentError
from unrolled.export.c.plan import Plan
from unrolled.layers import Embedding, Frames, ImageSteps, StackedFrames
from unrolled.layers.inputs.clips import StepEncoder
from unrolled.layers.inputs.texts import TextInputs, WordVotes


def add_input(plan: Plan, layer: nn.Module) -> None:
    """Add an input layer, and the step that reads it.

    Raises:
        ArgumentError: naming the layer that has no C, and what to use instead.
    """
    for kind, add in _INPUTS.items():
        if isinstance(layer, kind):
            add(plan, layer)
            return
    raise ArgumentError(
        f"model: a C export has no input layer {type(layer).__name__}, only {', '.join(k.__name__ for k in _INPUTS)}; "
        f"--to onnx exports it"
    )


def add_votes(plan: Plan, votes: WordVotes) -> None:
    """Add the linear model of words beside a network."""
    plan.define(
        VOTES=True,
        VOTES_SO_FAR=plan.carry(votes.classes + 1),
        VOTE_SCALE=plan.weight(votes.scale),
        VOTE_WORDS=plan.weight(votes.words),
        VOTE_WORDS_IDF=plan.weight(votes.idf_words),
        PAIRS=0 if votes.pairs is None else len(votes.pairs),
    )
    if votes.pairs is not None:
        plan.define(VOTE_PAIRS=plan.weight(votes.pairs), VOTE_PAIRS_IDF=plan.weight(votes.idf_pairs))
    if votes.parts is not None:
        plan.define(VOTE_PARTS=plan.weight(votes.parts), VOTE_PARTS_IDF=plan.weight(votes.idf_parts))


def _read(plan: Plan, kind: str) -> None:
    plan.headers.append(f"inputs/{kind}.h")
    plan.sources.append(f"inputs/{kind}.c")


def _tokens(plan: Plan, layer: Embedding) -> None:
    _read(plan, "tokens")
    plan.define(EMBEDDING=plan.weight(layer.weight))
    plan.publish(VOCABULARY=layer.vocabulary_size)


def _frames(plan: Plan, layer: Frames, *, differences: bool = False) -> None:
    mapped = isinstance(layer.linear, nn.Linear)
    _rows(plan, layer, layer.features // (2 if differences else 1), differences=differences, mapped=mapped)
    if isinstance(layer.linear, nn.Linear):
        plan.define(ROW_WEIGHT=plan.weight(layer.linear.weight), ROW_BIAS=plan.weight(layer.linear.bias))


def _rows(
    plan: Plan, layer: Frames | ImageSteps, features: int, *, differences: bool = False, mapped: bool = False
) -> None:
    _read(plan, "rows")
    plan.publish(FEATURES=features)
    plan.define(
        DIFFERENCES=differences, MAPPED=mapped, ROW_MEAN=plan.weight(layer.mean), ROW_SPREAD=plan.weight(layer.std)
    )
    if differences:
        plan.define(ROW_BEFORE=plan.carry(features))


def _steps(plan: Plan, layer: StepEncoder) -> None:
    if not isinstance(layer.encoder, Frames):
        raise ArgumentError(
            f"model: a C export has no encoder {type(layer.encoder).__name__} of frames; --to onnx exports it, and a "
            f"model of features instead of images can be exported to C"
        )
    _frames(plan, layer.encoder, differences=layer.differences)


def _image_steps(plan: Plan, layer: ImageSteps) -> None:
    _rows(plan, layer, layer.output_size)


def _stacked(plan: Plan, layer: StackedFrames) -> None:
    _read(plan, "frames")
    stack = layer.stack
    plan.publish(FEATURES=stack.features, STRIDE=stack.stride)
    plan.define(
        LEFT=stack.left,
        FRAMES_BEFORE=plan.carry(stack.left * stack.features),
        FRAME_MEAN=plan.weight(layer.frames.mean),
        FRAME_SPREAD=plan.weight(layer.frames.std),
        FRAME_WEIGHT=plan.weight(layer.linear.weight),
        FRAME_BIAS=plan.weight(layer.linear.bias),
    )


def _words(plan: Plan, layer: TextInputs) -> None:
    _read(plan, "words")
    plan.define(
        VOCABULARY=layer.words.vocabulary_size,
        WORD_ROWS=plan.weight(layer.words.weight),
        BUCKETS=0 if layer.parts is None else layer.parts.vocabulary_size,
        VECTORS=0 if layer.vectors is None else len(layer.vectors),
        VOTES=False,
        PAIRS=0,
    )
    if layer.parts is not None:
        plan.define(PART_ROWS=plan.weight(layer.parts.weight))
    if layer.vectors is not None and layer.linear is not None:
        plan.define(
            VECTOR_ROWS=plan.weight(layer.vectors),
            VECTOR_MAP=plan.weight(layer.linear.weight),
            VECTOR_SIZE=layer.vectors.shape[1],
        )


_INPUTS: dict[type[nn.Module], Callable[[Plan, Any], None]] = {
    Embedding: _tokens,
    Frames: _frames,
    StepEncoder: _steps,
    ImageSteps: _image_steps,
    StackedFrames: _stacked,
    TextInputs: _words,
}
