"""Options of the command, made from pydantic models: each field is an option, and the model validates its value.

A field's help is its `description`, or the glossary's entry for its name. Every option is None unless it is given, so
that the task chooses what was left open; the model checks ranges, and its errors name the option.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

_SIGNS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
_PLAIN = (bool, int, float, str, Path)

#: help by name; a field's own description takes precedence
GLOSSARY = {
    "tokens": "what a step reads: characters, bytes, or byte-pair tokens",
    "vocabulary_size": "the most byte-pair tokens, or characters",
    "cell": "the recurrence",
    "hidden_size": "units in a layer, H",
    "num_layers": "layers, L",
    "embedding_size": "width of the embedding",
    "dropout": "probability, between layers and before the output; one mask per window",
    "input_dropout": "probability, on the embedding's vectors",
    "recurrent_dropout": "probability, on h where it enters the gates; one mask per window",
    "weight_dropout": "probability, on the entries of weight_hh",
    "tied": "share the embedding's weight with the output layer",
    "layer_norm": "normalise the gates of every step",
    "window": "steps of truncated BPTT, T",
    "batch_size": "sequences in a batch, B",
    "encoding": "encoding of the text files",
    "errors": "how to treat bytes that are invalid in that encoding",
    "format": "format of the files; auto detects it for each",
    "text_key": "the field of a JSONL line with its text",
    "holdout": "share held out as development data without --dev",
    "coverage": "share of keystrokes at which to show a suggestion",
    "max_words": "the most words in a suggestion",
    "prompt": "how the samples shown during training begin",
    "optimiser": "the update rule",
    "lr": "the largest learning rate",
    "weight_decay": "decoupled with adamw, else added to the gradient",
    "betas": "coefficients of adam and adamw",
    "momentum": "momentum of sgd",
    "nesterov": "Nesterov momentum (sgd)",
    "schedule": "learning-rate schedule; cosine if the end is known, else constant",
    "warmup_steps": "steps in which the learning rate rises from 0",
    "min_lr_ratio": "where cosine ends and plateau stops, as a fraction of --lr",
    "plateau_factor": "the factor by which plateau reduces the learning rate",
    "plateau_patience": "evaluations without a better loss before plateau reduces it",
    "clip_norm": "scale the gradient down to this norm",
    "clip_value": "clip every entry of the gradient to ± this",
    "accumulate": "batches per step",
    "precision": "of products: bf16 rounds their factors; auto does where the processor has such products",
    "averaging": "average of the weights: exponential, or from where the loss stops falling",
    "ema_decay": "decay of --averaging ema per step",
    "tail_patience": "evaluations that --averaging tail looks back",
    "epochs": "stop after this many passes over the data",
    "steps": "stop after this many steps",
    "minutes": "stop after this many minutes of training, or once it overfits at a lower rate too",
    "until": "stop when a development metric is reached, as in loss=1.5 or accuracy>=0.9",
    "patience": "stop after this many evaluations without a better --monitor",
    "monitor": "the development metric that decides which weights are the best",
    "evaluate_every": "steps between evaluations on development data; 0 never",
    "sample_every": "steps between samples; 0 never",
    "save_every": "steps between checkpoints",
    "keep_every": "keep checkpoints at multiples of this; 0 none",
    "log_every": "steps between lines in metrics.jsonl; 1 logs every step",
    "device": "cpu, cuda and the like; auto takes a GPU if there is one",
    "seed": "seed of all randomness: same seed, machine and threads, same model",
    "deterministic": "use torch's deterministic algorithms",
}


def parameters(
    model: type[BaseModel],
    panel: str,
    *,
    first: Iterable[str] = (),
    sure: bool = True,
    unset: str = "chosen by the data",
) -> list[inspect.Parameter]:
    """Return an option for each field of a model, for a function's signature.

    Args:
        model: its fields are flat: numbers, text, booleans, Literals, paths, tuples or lists of these.
        panel: the group of the help page that shows them.
        first: names of fields to show in the group "Options", in this order, before the others.
        sure: whether a field's default is the value that will be used; if not, the help leaves it out.
        unset: the help's note for a field whose default is None.
    """
    order = [n for n in first if n in model.model_fields]
    names = [*order, *(n for n in model.model_fields if n not in order)]
    return [_parameter(n, model.model_fields[n], None if n in order else panel, sure, unset) for n in names]


def accepting(function: Callable[..., Any], extra: list[inspect.Parameter]) -> Callable[..., Any]:
    """Return a function with further options for typer; those that the user gives arrive in its `**given`.

    Raises:
        TypeError: two options have the same name, which is a defect of the task that declares the second.
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
    vars(command)["__signature__"] = signature
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
    """Return the type for typer to parse, and the ranges in its annotations.

    Raises:
        TypeError: the type can't be an option, which is a defect of the task that declares it.
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
        kinds = tuple(kind for kind, _ in inner)
        return (types.GenericAlias(tuple, kinds) if fixed else types.GenericAlias(list, kinds[:1])), ranges
    raise TypeError(f"{annotation}: not a type that an option of the command can have")


def _ranges(metadata: Iterable[Any]) -> list[str]:
    from pydantic.fields import FieldInfo

    ranges = []
    for item in metadata:
        if isinstance(item, FieldInfo):
            ranges += _ranges(item.metadata)
        for attribute, sign in _SIGNS.items():
            if (bound := getattr(item, attribute, None)) is not None:
                ranges.append(f"{sign} {bound}")
    return ranges
