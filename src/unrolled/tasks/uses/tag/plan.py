"""Which tagger fits how much text.

The sizes and dropouts come from runs on CoNLL-2003, CoNLL-2002 and WNUT 2017 (benchmarks/results): without published
vectors a tagger sees few words often enough, so what helps is to make it read spellings, shapes and context (words
forgotten while training, dropout of one half, weights averaged), more than width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from unrolled.tasks.core.examples import Material
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.plan import plan_epochs
from unrolled.tasks.core.tuning.space import DROPOUT, LR, Among, Between, Space
from unrolled.tasks.core.values import Plan, chosen_fields
from unrolled.tasks.inputs.words.encode import WordsInput
from unrolled.tasks.uses.tag.options import TagNetwork, TagOptions
from unrolled.types import Json

#: what a search for better settings tries
SPACE: Space = {
    "lr": LR,
    "dropout": DROPOUT,
    "input_dropout": DROPOUT,
    "hidden_size": Between(64, 256, log=True),
    "batch_size": Among((8, 16, 32)),
}

#: steps after which a tagger has learned what it can, and within how many passes over the data, whatever its size
STEPS, FEWEST_EPOCHS, MOST_EPOCHS = 2000, 15, 60

#: tokens of a document that are read in one go where the files tell documents apart
CONTEXT = 300


class TaggerSize(NamedTuple):
    """A tagger for so many tokens or more, and how it is regularised."""

    tokens: int
    hidden_size: int
    embedding_size: int
    lr: float
    input_dropout: float
    word_dropout: float
    rare_dropout: float


#: with little text, forgetting more of it makes a tagger worse (docs/log.md)
SIZES = (
    TaggerSize(0, 150, 50, 4e-3, input_dropout=0.4, word_dropout=0.0, rare_dropout=0.3),
    TaggerSize(100_000, 200, 100, 2e-3, input_dropout=0.5, word_dropout=0.05, rare_dropout=0.5),
)


def plan_tagger(material: Material[WordsInput, Any], options: TagOptions, training: Mapping[str, Any]) -> Plan:
    """Choose what was left open by how many tokens there are to learn from."""
    output = material.parts.output
    tokens, examples = int(material.facts["train_tokens"]), len(material.train)
    size = max(size for size in SIZES if size.tokens <= tokens)
    defaults: Json = {
        "embedding_size": size.embedding_size,
        "hidden_size": size.hidden_size,
        "input_dropout": size.input_dropout,
        "dropout": 0.5,
        **material.parts.input.sizes,
        "labels": len(output.labels),
    }
    network = TagNetwork(**{**defaults, **chosen_fields(TagNetwork, options)})
    reasons = [f"{network.num_layers} × {network.hidden_size} {network.cell} units for {tokens:,} tokens"]
    # about 500 tokens a step, however many make an example
    batch = options.batch_size or max(1, min(32, round(500 * examples / max(tokens, 1))))
    reasons.append(f"{batch} examples a step, of {tokens / max(examples, 1):.0f} tokens each")
    settings = plan_epochs(
        examples,
        batch,
        training,
        epochs=max(FEWEST_EPOCHS, min(MOST_EPOCHS, round(STEPS * batch / max(examples, 1)))),
        patience=8,
        optimiser="adamw",
        lr=size.lr,
        betas=(0.9, 0.99),
        weight_decay=0.01,
        min_lr_ratio=0.02,
        clip_norm=5.0,
        averaging="ema",
        ema_decay=0.998,
        monitor="f1" if output.kind == "entities" else "accuracy",
    )
    noise = {
        "word_dropout": size.word_dropout,
        "rare": 1,
        "rare_dropout": size.rare_dropout,
        "character_dropout": 0.0,
        "alone": 0.2,
    }
    given = {name: getattr(options, name) for name in noise if getattr(options, name) is not None}
    return Plan(network.model_dump(), settings, {"batch_size": batch, **noise, **given}, reasons)


def context_of(model: AnyFitted) -> int:
    """Return how many tokens of a document a model reads in one go; 0 for one that was trained on sentences alone."""
    if model.config.count("train_sentences", 0) <= model.config.count("train_examples", 0):
        return 0
    chosen = model.config.options.get("context")
    return CONTEXT if chosen is None else int(chosen)
