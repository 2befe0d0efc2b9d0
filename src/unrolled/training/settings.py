"""The training settings, as one validated object: optimiser, schedule, clipping, averaging, criteria and saving."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from unrolled.errors import ArgumentError
from unrolled.settings import Settings
from unrolled.training.criteria import Criterion, EpochLimit, Patience, StepLimit, TimeLimit, Until
from unrolled.training.precision import PrecisionName

Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Interval = Annotated[int, Field(ge=0)]


class TrainingSettings(Settings):
    """How to train. Units are in each field's comment; every `*_every` is in steps, and 0 means never.

    >>> TrainingSettings(lr=0.002, steps=100).lr
    0.002
    >>> TrainingSettings(lr=-1)
    Traceback (most recent call last):
        ...
    unrolled.errors.ArgumentError: --lr: -1 is not possible: input should be greater than 0

    Raises:
        ArgumentError: an option is unknown, out of range or excludes another; names it.
    """

    optimiser: Literal["sgd", "adam", "adamw"] = "adamw"
    lr: Positive = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    # SGD only
    momentum: Fraction = 0.0
    nesterov: bool = False

    # None: cosine when steps, epochs or minutes fix the end, else constant.
    schedule: Literal["constant", "cosine", "plateau"] | None = None
    warmup_steps: Interval = 0
    # The final value of cosine and the lower bound of plateau, as a fraction of lr.
    min_lr_ratio: Annotated[float, Field(ge=0, le=1)] = 0.05
    # plateau: lr is multiplied by the factor after this many evaluations without a better loss.
    plateau_factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    plateau_patience: Count = 2

    clip_norm: Positive | None = 1.0
    clip_value: Positive | None = None
    # Batches per step.
    accumulate: Count = 1
    precision: PrecisionName = "fp32"

    averaging: Literal["none", "ema", "tail"] = "none"
    ema_decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    # tail: averaging begins when the loss is no better than this many evaluations ago.
    tail_patience: Count = 5

    epochs: Positive | None = None
    steps: Count | None = None
    minutes: Positive | None = None
    # METRIC=VALUE, METRIC<=VALUE or METRIC>=VALUE
    until: str | None = None
    # Evaluations without a better value of `monitor`.
    patience: Count | None = None
    # The metric that decides which checkpoint is the best.
    monitor: str = "loss"

    evaluate_every: Interval = 500
    sample_every: Interval = 500
    save_every: Count = 500
    # Checkpoints at multiples of this are kept, beside the last two and the best.
    keep_every: Interval = 0
    log_every: Count = 10

    # "auto" is a GPU if there is one
    device: str = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    # Ask torch for deterministic algorithms; it warns where an operation has none.
    deterministic: bool = True

    def replace(self, **changes: Any) -> TrainingSettings:
        """Return the settings with some changed, validated again."""
        return TrainingSettings(**{**self.model_dump(), **changes})

    def criteria(self) -> list[Criterion]:
        """Return the criteria that are set; the run ends with the first one met.

        Raises:
            ArgumentError: none is set, so the run would never end.
        """
        wanted: list[Criterion | None] = [
            StepLimit(self.steps) if self.steps is not None else None,
            EpochLimit(self.epochs) if self.epochs is not None else None,
            TimeLimit(self.minutes) if self.minutes is not None else None,
            Until.parse(self.until) if self.until is not None else None,
            Patience(self.patience) if self.patience is not None else None,
        ]
        criteria = [criterion for criterion in wanted if criterion is not None]
        if not criteria:
            raise ArgumentError("training would never end: give --minutes, --epochs, --steps, --until or --patience")
        return criteria

    @field_validator("until")
    @classmethod
    def _until_is_readable(cls, until: str | None) -> str | None:
        if until is not None:
            Until.parse(until)
        return until

    @model_validator(mode="after")
    def _options_fit_together(self) -> TrainingSettings:
        has_end = any(budget is not None for budget in (self.steps, self.epochs, self.minutes))
        if self.nesterov and not (self.optimiser == "sgd" and self.momentum > 0):
            raise ValueError("--nesterov needs --optimiser sgd and a --momentum above 0")
        if self.momentum > 0 and self.optimiser != "sgd":
            raise ValueError(f"--momentum needs --optimiser sgd; {self.optimiser} has betas instead")
        if self.schedule == "cosine" and not has_end:
            raise ValueError("--schedule cosine needs a known end: give --steps, --epochs or --minutes")
        if self.evaluate_every == 0:
            for option, used in (
                ("--until", self.until is not None),
                ("--patience", self.patience is not None),
                ("--schedule plateau", self.schedule == "plateau"),
                ("--averaging tail", self.averaging == "tail"),
            ):
                if used:
                    raise ValueError(f"{option} needs evaluations, and --evaluate-every 0 turns them off")
        return self
