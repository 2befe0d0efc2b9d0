"""Which language model fits how much text, how fast this machine is, and how long it may be trained.

The tables come from runs on tinyshakespeare and on e-mail (benchmarks/results): a network twice as wide costs about
four times as much a token and, regularised, keeps improving with every pass over a small corpus, so how many tokens it
can read in the time given decides the width; how often the text will be seen decides the dropout. The speed is
measured, from the smallest candidate up to the first that is too slow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from unrolled.data import Tokenizer
from unrolled.errors import ArgumentError
from unrolled.tasks.core.tuning.space import DROPOUT, LR, Among, Between, Space
from unrolled.tasks.core.values import Plan
from unrolled.tasks.outputs.next.network import CLUSTERS, JUDGED_ON
from unrolled.tasks.outputs.next.options import LanguageModelNetwork
from unrolled.tasks.uses.generate.options import GenerateOptions
from unrolled.training import TrainingSettings

#: what a search for better settings tries
SPACE: Space = {
    "lr": LR,
    "dropout": DROPOUT,
    "hidden_size": Between(64, 768, log=True),
    "num_layers": Between(1, 2),
    "window": Among((64, 128, 256)),
    "weight_decay": Between(1e-4, 0.1, log=True),
}

#: returns how many steps a second this machine trains a plan, one of so many candidates
Measure = Callable[[Plan, int], float]


class WriterSize(NamedTuple):
    """A stack, and how many tokens it must read in training to be worth its cost."""

    tokens: float
    hidden_size: int
    num_layers: int


SIZES = (
    WriterSize(0, 128, 1),
    WriterSize(600_000, 256, 1),
    WriterSize(2_500_000, 512, 1),
    WriterSize(12_000_000, 512, 2),
)
#: words from which on the softmax is adaptive
ADAPTIVE_ABOVE = 30_000
#: units where no time is given, and what text of fewer tokens than this is worth
USUAL, SMALL = 512, ((50_000, 128), (300_000, 256))
#: steps of truncated BPTT
SHORT, LONG = 64, 96
#: no fewer updates than this if so many lanes are enough
UPDATES, FEWEST_LANES = 1_000, 8
#: the part of the time that looks at the development text may take, how few and how many there are, and what a token
#: costs there, where one in training costs 1
LOOKING, FEWEST, MOST, FORWARD = 0.1, 5, 20, 1 / 3


class CorpusSize(NamedTuple):
    """The properties of a corpus that a plan depends on: its tokeniser, and how many tokens it has."""

    tokenizer: Tokenizer
    tokens: int
    dev_tokens: int


def plan_language_model(
    text: CorpusSize, options: GenerateOptions, training: Mapping[str, Any], measure: Measure
) -> Plan:
    """Choose what was left open.

    Args:
        text: what it is trained on.
        options: of the use; None in a field leaves the choice to the plan.
        training: the training settings that were given.
        measure: is asked for the speed of candidates, where training ends with a time.
    """
    widest = next((width for below, width in SMALL if text.tokens < below), USUAL)
    stacks: dict[tuple[int, int], float] = {}
    for size in SIZES:
        if size.hidden_size <= widest:
            stack = (options.hidden_size or size.hidden_size, options.num_layers or size.num_layers)
            stacks.setdefault(stack, size.tokens)
    if training.get("minutes"):
        return _plan_for_time(text, stacks, options, training, measure)
    epochs = _epochs(text, training, (options.batch_size or _lanes(text.tokens)) * SHORT)
    return _plan(text, (options.hidden_size or widest, options.num_layers or 1), epochs, options, training)


def _plan_for_time(
    text: CorpusSize,
    stacks: Mapping[tuple[int, int], float],
    options: GenerateOptions,
    training: Mapping[str, Any],
    measure: Measure,
) -> Plan:
    """Return the plan of the largest stack that this machine trains fast enough.

    Args:
        stacks: units and layers of each, the smallest first, and the tokens it must read.
    """
    seconds = 60 * float(training["minutes"])
    speed, chosen, batch = 0.0, next(iter(stacks)), options.batch_size or _lanes(text.tokens)
    for stack, least in stacks.items():
        # what is larger than a stack is no faster
        if speed and speed * seconds < least:
            break
        candidate = _plan(text, stack, 1.0, options, training)
        tokens_a_second = measure(candidate, len(stacks)) * batch * candidate.batching["window"]
        if speed and tokens_a_second * seconds < least:
            break
        speed, chosen = tokens_a_second, stack
    read = speed * seconds * (1 - LOOKING)
    # what has time for few updates needs many small ones rather than fast ones
    while options.batch_size is None and batch > FEWEST_LANES and read / (batch * SHORT) < UPDATES:
        batch //= 2
    epochs = min(read / text.tokens, _epochs(text, training, batch * SHORT))
    looks = LOOKING * seconds * speed / (FORWARD * min(text.dev_tokens, JUDGED_ON))
    plan = _plan(text, chosen, epochs, options, training, int(min(max(looks, FEWEST), MOST)), batch)
    plan.reasons.append(f"{speed:,.0f} tokens a second on this machine")
    return plan


def _plan(
    text: CorpusSize,
    stack: tuple[int, int],
    epochs: float,
    options: GenerateOptions,
    training: Mapping[str, Any],
    looks: int = MOST,
    lanes: int | None = None,
) -> Plan:
    """Return the plan of a stack that reads each token so many times, and looks at the development text so often."""
    hidden, layers = stack
    # tokens of several characters: there are many of them, and each tells much
    large = text.tokenizer.kind in ("bpe", "word")
    softmax = options.softmax or ("adaptive" if _is_rich(text.tokenizer) and not options.tied else "full")
    tied = large and softmax == "full" if options.tied is None else options.tied
    if softmax == "adaptive":
        _check_adaptive(text.tokenizer, tied)
    reasons = [f"{layers} × {hidden} {options.cell} units for {text.tokens:,} tokens"]
    batch = lanes or options.batch_size or _lanes(text.tokens)
    # a run that sees its text only a few times needs many updates more than it needs long memory
    window = options.window or (SHORT if large or epochs <= 6 else LONG)
    dropout = _dropout(epochs) if options.dropout is None else options.dropout
    reasons.append(f"dropout {dropout:g}, as each token will be seen about {epochs:.2g} times")
    network = LanguageModelNetwork(
        cell=options.cell,
        vocabulary_size=text.tokenizer.vocabulary_size,
        embedding_size=options.embedding_size or min(hidden, 256 if large else 64),
        hidden_size=hidden,
        num_layers=layers,
        input_dropout=_or(options.input_dropout, dropout / 2 if large else 0.0),
        dropout=dropout,
        recurrent_dropout=_or(options.recurrent_dropout, 0.0),
        weight_dropout=_or(options.weight_dropout, 0.0),
        tied=tied,
        softmax=softmax,
        layer_norm=options.layer_norm,
    )
    total = int(training.get("steps") or epochs * max(1, text.tokens // (batch * window)))
    # no more looks at the development text than one in 50 steps, unless there is hardly time for so many
    every = max(10 if training.get("minutes") else 50, total // looks)
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
    if not any(training.get(name) is not None for name in ("steps", "epochs", "minutes")):
        chosen |= {"epochs": epochs, "patience": 8}
        reasons.append(f"{epochs:g} epochs at most, ended early when the development loss stops falling")
    settings = TrainingSettings(**(chosen | {k: v for k, v in training.items() if v is not None}))
    return Plan(network.model_dump(), settings, {"batch_size": batch, "window": window}, reasons)


def _check_adaptive(tokenizer: Tokenizer, tied: bool) -> None:
    """Check that an adaptive softmax can have clusters.

    Raises:
        ArgumentError: it can't.
    """
    size, least = tokenizer.vocabulary_size, CLUSTERS[0]
    if tied:
        raise ArgumentError("--softmax adaptive: has no weight of the embedding's shape to be tied; leave out --tied")
    if tokenizer.kind != "word" or size <= least:
        found = f"{size:,} tokens of kind {tokenizer.kind}"
        raise ArgumentError(f"--softmax adaptive: is for more than {least:,} words (--tokens word); found {found}")


def _is_rich(tokenizer: Tokenizer) -> bool:
    """Return whether a vocabulary is by frequency, and so large that a full softmax would take most of the time."""
    return tokenizer.kind == "word" and tokenizer.vocabulary_size > ADAPTIVE_ABOVE


def _epochs(text: CorpusSize, training: Mapping[str, Any], tokens_a_step: int) -> float:
    """Return how often each token will be seen, if no time is up before."""
    ends = []
    if training.get("epochs"):
        ends.append(float(training["epochs"]))
    if training.get("steps"):
        ends.append(int(training["steps"]) * tokens_a_step / text.tokens)
    if ends or training.get("minutes"):
        return min(ends, default=float("inf"))
    tokens = text.tokens
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
