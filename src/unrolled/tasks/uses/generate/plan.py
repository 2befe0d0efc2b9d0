"""Which language model fits how much text, and how long it may be trained.

The table comes from runs on tinyshakespeare and on e-mail (benchmarks/results): a network twice as wide costs four
times as much a token and, regularised, keeps improving with every pass over a small corpus, so the time given decides
the width; how often the text will be seen decides the dropout.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from unrolled.data import Tokenizer
from unrolled.tasks.core.values import Plan
from unrolled.tasks.outputs.next.options import LanguageModelNetwork
from unrolled.tasks.uses.generate.options import GenerateOptions
from unrolled.training import TrainingSettings

#: tokens a second that a layer of 512 LSTM units trains on two cores; only orders of magnitude matter here
NOMINAL_SPEED = 18_000
NOMINAL_WEIGHTS = 512 * 512 * 8 * 0.6


class WriterSize(NamedTuple):
    """A stack, and the minutes of training from which it is worth its cost."""

    minutes: float
    hidden_size: int
    num_layers: int


SIZES = (WriterSize(0, 512, 1), WriterSize(30, 512, 2))
#: steps of truncated BPTT
SHORT, LONG = 64, 96
#: stacks for little text to learn from: below so many tokens
SMALL = ((50_000, WriterSize(0, 128, 1)), (300_000, WriterSize(0, 256, 1)))


def plan_language_model(
    tokenizer: Tokenizer, tokens: int, options: GenerateOptions, training: Mapping[str, Any]
) -> Plan:
    """Choose what was left open.

    Args:
        tokenizer: of the corpus.
        tokens: how many the training text has.
        options: of the use; None in a field leaves the choice to the plan.
        training: the training settings that were given.
    """
    has_end = any(training.get(k) is not None for k in ("steps", "epochs", "minutes"))
    minutes = float(training.get("minutes") or 0)
    fitting = [small for below, small in SMALL if tokens < below]
    size = fitting[0] if fitting else max(s for s in SIZES if s.minutes <= minutes)
    hidden, layers = options.hidden_size or size.hidden_size, options.num_layers or size.num_layers
    is_bpe = tokenizer.kind == "bpe"
    tied = is_bpe if options.tied is None else options.tied
    embedding = options.embedding_size or (min(hidden, 256) if is_bpe else min(hidden, 64))
    reasons = [f"{layers} × {hidden} {options.cell} units for {tokens:,} tokens"]
    batch = options.batch_size or _lanes(tokens)
    epochs = _epochs(training, tokens, hidden, layers, batch * SHORT, has_end)
    # a run that sees its text only a few times needs many updates more than it needs long memory
    window = options.window or (SHORT if is_bpe or epochs <= 6 else LONG)
    dropout = _dropout(epochs) if options.dropout is None else options.dropout
    reasons.append(f"dropout {dropout:g}, as each token will be seen about {epochs:.0f} times")
    network = LanguageModelNetwork(
        cell=options.cell,
        vocabulary_size=tokenizer.vocabulary_size,
        embedding_size=embedding,
        hidden_size=hidden,
        num_layers=layers,
        input_dropout=_or(options.input_dropout, dropout / 2 if is_bpe else 0.0),
        dropout=dropout,
        recurrent_dropout=_or(options.recurrent_dropout, 0.0),
        weight_dropout=_or(options.weight_dropout, 0.0),
        tied=tied,
        layer_norm=options.layer_norm,
    )

    total = int(training.get("steps") or epochs * max(1, tokens // (batch * window)))
    # about 20 looks at the development text in a run, but no more than one in 50 steps
    every = max(50, total // 20)
    chosen: dict[str, Any] = {
        "optimiser": "adamw",
        "lr": 4e-3 if hidden <= 256 else 3e-3,
        "betas": (0.9, 0.99),
        "weight_decay": 0.01,
        "warmup_steps": min(200, max(1, total // 30)),
        "min_lr_ratio": 0.01,
        "evaluate_every": every,
        "sample_every": every,
        "save_every": every,
    }
    if not has_end:
        chosen |= {"epochs": epochs, "patience": 8}
        reasons.append(f"{epochs:g} epochs at most, ended early when the development loss stops falling")
    settings = TrainingSettings(**(chosen | {k: v for k, v in training.items() if v is not None}))
    return Plan(network.model_dump(), settings, {"batch_size": batch, "window": window}, reasons)


def _epochs(
    training: Mapping[str, Any], tokens: int, hidden: int, layers: int, tokens_a_step: int, has_end: bool
) -> float:
    """Return how often each token will be seen, as far as can be told beforehand."""
    ends = []
    if training.get("epochs"):
        ends.append(float(training["epochs"]))
    if training.get("steps"):
        ends.append(int(training["steps"]) * tokens_a_step / tokens)
    if training.get("minutes"):
        cost = hidden * hidden * 8 * (layers - 0.4) / NOMINAL_WEIGHTS
        ends.append(float(training["minutes"]) * 60 * NOMINAL_SPEED / cost / tokens)
    if has_end:
        return min(ends)
    return 30.0 if tokens < 300_000 else 15.0 if tokens < 3_000_000 else 6.0 if tokens < 30_000_000 else 1.0


def _dropout(epochs: float) -> float:
    for most, dropout in ((2, 0.0), (6, 0.1), (10, 0.25), (25, 0.4)):
        if epochs <= most:
            return dropout
    return 0.5


def _lanes(tokens: int) -> int:
    """Return the number of parallel lanes: fewer for small corpora, which need many steps rather than fast ones."""
    return 16 if tokens < 300_000 else 32 if tokens < 20_000_000 else 64


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
