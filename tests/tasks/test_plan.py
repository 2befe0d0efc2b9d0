"""Plans of `generate`: what is chosen at a given speed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unrolled.data import fit_tokenizer
from unrolled.tasks import Plan, load
from unrolled.tasks.uses.generate.options import GenerateOptions
from unrolled.tasks.uses.generate.plan import SIZES, CorpusSize, plan_language_model

from .conftest import learn

TOKENIZER = fit_tokenizer("char", ["abc\n"])
#: multiply-adds a second: a machine on which 512 units in one layer read 18,000 tokens a second
NOMINAL = 18_000 * 512 * 512


def plan_at(speed: float, minutes: float | None, tokens: int = 1_000_000, **options: Any) -> tuple[Plan, list[str]]:
    """Return the plan on a machine of that many multiply-adds a second, and the stacks that were measured."""
    measured: list[str] = []

    def measure(plan: Plan, candidates: int) -> float:
        hidden, layers = plan.network["hidden_size"], plan.network["num_layers"]
        measured.append(f"{layers}x{hidden}")
        assert candidates >= len(measured)
        return speed / (hidden * hidden * layers) / (plan.batching["batch_size"] * plan.batching["window"])

    text = CorpusSize(TOKENIZER, tokens, tokens // 10)
    return plan_language_model(text, GenerateOptions(**options), {"minutes": minutes}, measure), measured


@pytest.mark.parametrize(
    ("share", "minutes", "stack", "dropout"),
    [
        # 3.2 million tokens, three times each
        (1, 3, (1, 512), 0.1),
        # as fast a machine in twice the time is twice as fast a machine
        (2, 3, (1, 512), 0.1),
        (1, 6, (1, 512), 0.1),
        (8, 3, (2, 512), 0.4),
        (1, 30, (2, 512), 0.4),
        # too slow for 512 units
        (0.5, 3, (1, 256), 0.1),
        (0.02, 3, (1, 128), 0.0),
    ],
)
def test_width_and_dropout_follow_from_the_speed(
    share: float, minutes: float, stack: tuple[int, int], dropout: float
) -> None:
    plan, _ = plan_at(share * NOMINAL, minutes)
    assert (plan.network["num_layers"], plan.network["hidden_size"]) == stack
    assert plan.network["dropout"] == dropout
    assert plan == plan_at(share * NOMINAL, minutes)[0]


def test_a_text_that_is_seen_often_gets_more_dropout() -> None:
    seen = [plan_at(share * NOMINAL, 3, 380_000)[0].network["dropout"] for share in (1, 2, 4)]
    assert seen == [0.25, 0.4, 0.5]


def test_little_text_gets_a_small_network_however_fast() -> None:
    assert plan_at(100 * NOMINAL, 3, 40_000)[0].network["hidden_size"] == 128
    assert plan_at(100 * NOMINAL, 3, 200_000)[0].network["hidden_size"] == 256


def test_only_what_may_be_fast_enough_is_measured() -> None:
    assert plan_at(NOMINAL, 3)[1] == ["1x128", "1x256", "1x512"]
    assert plan_at(0.001 * NOMINAL, 3)[1] == ["1x128"]
    assert plan_at(NOMINAL, 3, hidden_size=40, num_layers=3)[1] == ["3x40"]
    assert plan_at(NOMINAL, None)[1] == []


def test_a_slow_machine_takes_many_small_steps() -> None:
    batches = [plan_at(share * NOMINAL, 3)[0].batching["batch_size"] for share in (1, 0.03, 0.002)]
    assert batches == [32, 16, 8]
    assert plan_at(0.002 * NOMINAL, 3, batch_size=64)[0].batching["batch_size"] == 64


def test_looks_at_the_development_text_leave_time_to_train() -> None:
    fast, slow = (plan_at(share * NOMINAL, 3, 3_000_000)[0].training for share in (1, 0.02))
    # 3.2 million tokens in 3 minutes; 250,000 forward cost what 83,000 do in training, and 324,000 is a tenth
    assert 18_000 * 180 * 0.9 / (32 * 64) / fast.evaluate_every == pytest.approx(5, abs=0.1)
    assert slow.evaluate_every >= 10


def test_a_resumed_run_keeps_its_plan(tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = iter([10.0])
    monkeypatch.setattr("unrolled.tasks.core.plan.updates_per_second", lambda *_: next(speeds))
    given = {"options": {"hidden_size": 8, "num_layers": 1, "dropout": None}, "evaluate_every": None, "minutes": 5.0}
    learn(corpus / "train.txt", tmp_path / "m", steps=2, **given)
    config = load(tmp_path / "m").config
    # a second measurement would find no speed left
    learn(corpus / "train.txt", tmp_path / "m", steps=4, resume=True, **given)
    resumed = load(tmp_path / "m").config
    assert (resumed.network, resumed.batching) == (config.network, config.batching)
    assert resumed.training == {**config.training, "steps": 4}
    assert config.network["dropout"] == 0.0


def test_sizes_are_in_order() -> None:
    assert list(SIZES) == sorted(SIZES)
