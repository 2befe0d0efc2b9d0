"""Options of the command, made of pydantic models: a field is an option, and the model checks its value.

A field's help is its `description`, or what the glossary below says of its name. Every option is None unless it was
given, so that what was left open stays open; ranges are checked by the model, whose complaints name the option.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

_SIGNS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
_PLAIN = (bool, int, float, str, Path)

#: what a name means wherever it is used; a field's own description goes before
GLOSSARY = {
    "tokens": "what one step reads: characters, bytes, or byte-pair tokens",
    "vocabulary_size": "how many byte-pair tokens, or characters, at most",
    "cell": "the recurrence",
    "hidden_size": "units of a layer, H",
    "num_layers": "layers, L",
    "embedding_size": "width of the embedding",
    "dropout": "probability, between layers and before the output; one mask a window",
    "input_dropout": "probability, on the embedding's vectors",
    "recurrent_dropout": "probability, on h where it enters the gates; one mask a window",
    "weight_dropout": "probability, on the entries of weight_hh",
    "tied": "the output layer's weight is the embedding's",
    "layer_norm": "normalise the gates of every step",
    "window": "steps of truncated BPTT, T",
    "batch_size": "sequences read side by side, B",
    "encoding": "of the text files",
    "errors": "what to do with bytes that are no text in that encoding",
    "format": "of the files; auto looks at each",
    "text_key": "where a line of JSONL has its text",
    "holdout": "share held out as development data if no --dev is named",
    "coverage": "share of keystrokes at which a suggestion is to be shown",
    "max_words": "words in a suggestion, at most",
    "prompt": "what the samples shown while it learns begin with",
    "optimiser": "how a gradient becomes a step",
    "lr": "the largest learning rate",
    "weight_decay": "decoupled with adamw, else added to the gradient",
    "betas": "of adam and adamw",
    "momentum": "of sgd",
    "nesterov": "look ahead by the momentum (sgd)",
    "schedule": "how the learning rate falls; cosine if an end is known, else constant",
    "warmup_steps": "steps in which the learning rate rises from 0",
    "min_lr_ratio": "where cosine ends and plateau stops, as a fraction of --lr",
    "plateau_factor": "what plateau multiplies the learning rate by",
    "plateau_patience": "evaluations without a better loss before plateau does so",
    "clip_norm": "scale the gradient down to this norm",
    "clip_value": "cut every entry of the gradient to ± this",
    "accumulate": "batches a step",
    "averaging": "of weights: exponential, or from where the loss stops falling",
    "ema_decay": "of --averaging ema, a step",
    "tail_patience": "evaluations that --averaging tail looks back",
    "epochs": "stop after so many passes over the data",
    "steps": "stop after so many steps",
    "minutes": "stop after so many minutes of training",
    "until": "stop when a development metric is reached, as in loss=1.5 or accuracy>=0.9",
    "patience": "stop after so many evaluations without a better --monitor",
    "monitor": "the development metric that decides which weights are the best",
    "evaluate_every": "steps between evaluations on development data; 0 never",
    "sample_every": "steps between samples; 0 never",
    "save_every": "steps between checkpoints",
    "keep_every": "keep the checkpoints of multiples of this for good; 0 none",
    "log_every": "steps a line in metrics.jsonl; 1 writes every step",
    "device": "cpu, cuda and the like; auto takes a GPU if there is one",
    "seed": "of everything random: same seed, machine and threads, same model",
    "deterministic": "ask torch for algorithms that give the same bits every time",
}


def parameters(
    model: type[BaseModel],
    panel: str,
    *,
    first: Iterable[str] = (),
    sure: bool = True,
    unset: str = "chosen by the data",
) -> list[inspect.Parameter]:
    """An option for each field of a model, for a function's signature.

    Args:
        model: its fields are flat: numbers, text, booleans, Literals, paths, tuples or lists of these.
        panel: the group of options that they are shown in.
        first: names of fields that are shown in the group "Options", in this order, before the others.
        sure: whether a field's default is what will be used; if not, the help leaves it out.
        unset: what the help says of a field whose default is None.
    """
    order = [n for n in first if n in model.model_fields]
    names = [*order, *(n for n in model.model_fields if n not in order)]
    return [_parameter(n, model.model_fields[n], None if n in order else panel, sure, unset) for n in names]


def accepting(function: Callable[..., Any], extra: list[inspect.Parameter]) -> Callable[..., Any]:
    """A function that typer sees with more options; they arrive in its `**given`, those that were given alone.

    Raises:
        TypeError: two options of one name, which is a defect of the task that declares the second.
    """
    own = [p for p in inspect.signature(function, eval_str=True).parameters.values() if p.kind is not p.VAR_KEYWORD]
    seen: set[str] = set()
    for parameter in (*own, *extra):
        if parameter.name in seen:
            raise TypeError(f"two options are called {parameter.name!r}")
        seen.add(parameter.name)
    mine = {p.name for p in own}

    def command(**values: Any) -> Any:
        given = {k: v for k, v in values.items() if k not in mine and v is not None and v != []}
        return function(**{k: v for k, v in values.items() if k in mine}, **given)

    command.__doc__, command.__name__ = function.__doc__, function.__name__
    signature = inspect.Signature([p.replace(kind=p.KEYWORD_ONLY) for p in (*own, *extra)])
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    return command


def _parameter(name: str, field: FieldInfo, panel: str | None, sure: bool, unset: str) -> inspect.Parameter:
    kind, ranges = _kind(field.annotation)
    ranges = [*_ranges(field.metadata), *ranges]
    flag = name.replace("_", "-")
    spelled = f"--{flag}/--no-{flag}" if kind is bool else f"--{flag}"
    notes = [r for r in [" and ".join(dict.fromkeys(ranges)), _default(field, sure, unset)] if r]
    text = field.description or GLOSSARY.get(name, "")
    help_text = f"{text} [{'; '.join(notes)}]" if notes else text
    metavar = "TEXT" if get_origin(kind) is list else None
    option = typer.Option(spelled, help=help_text, metavar=metavar, rich_help_panel=panel, show_default=False)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _default(field: FieldInfo, sure: bool, unset: str) -> str:
    value = field.default
    if not sure:
        return ""
    if value is None:
        return unset
    return "on" if value is True else "off" if value is False else repr(value) if value == "\n" else str(value)


def _kind(annotation: Any) -> tuple[Any, list[str]]:
    """The type that typer is to parse, and the ranges found on the way to it.

    Raises:
        TypeError: a type that can't be an option, which is a defect of the task that declares it.
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        kind, ranges = _kind(args[0])
        return kind, [*_ranges(args[1:]), *ranges]
    if origin in (Union, types.UnionType):
        return _kind(next(a for a in args if a is not type(None)))
    if origin is Literal or annotation in _PLAIN:
        return annotation, []
    if origin in (tuple, list):
        inner = [_kind(a) for a in args if a is not Ellipsis]
        ranges = ["each " + r for r in inner[0][1]]
        fixed = origin is tuple and Ellipsis not in args
        return (tuple[tuple(k for k, _ in inner)] if fixed else list[inner[0][0]]), ranges  # type: ignore[misc]
    raise TypeError(f"{annotation}: not a type that an option of the command can have")


def _ranges(metadata: Iterable[Any]) -> list[str]:
    found = []
    for item in metadata:
        if isinstance(item, FieldInfo):
            found += _ranges(item.metadata)
        for attribute, sign in _SIGNS.items():
            if (bound := getattr(item, attribute, None)) is not None:
                found.append(f"{sign} {bound}")
    return found
