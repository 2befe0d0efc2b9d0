"""`unrolled train`: its options come from declarations, and its folder keeps what outsiders' scripts rely on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from unrolled.cli import options
from unrolled.cli.layout import lone_command
from unrolled.settings import Settings

from .running import Result, complaint, unrolled

SMALL = ("--hidden-size", 8, "--window", 16, "--batch-size", 4, "--sample-every", 0, "--threads", 1)


def metrics(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]


def test_a_trained_folder_is_complete_and_says_what_to_do_next(trained: tuple[Path, Result]) -> None:
    out, result = trained
    names = {path.name for path in out.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "metrics.jsonl", "samples.md", "card.md"} <= names
    assert (out / "plots" / "loss.png").stat().st_size > 1000
    assert f"unrolled predict {out}" in result.out
    assert f"unrolled evaluate {out}" in result.out
    assert result.err == ""


def test_metrics_have_step_split_and_unrounded_loss_on_every_line(trained: tuple[Path, Result]) -> None:
    lines = metrics(trained[0])
    assert all({"step", "split", "loss"} <= line.keys() for line in lines)
    assert [line["step"] for line in lines if line["split"] == "train"] == list(range(1, 121))
    assert [line["step"] for line in lines if line["split"] == "dev"] == [0, 60, 120]
    losses = [repr(line["loss"]) for line in lines if line["split"] == "train"]
    assert sum(len(loss) > 10 for loss in losses) > 100
    assert float(losses[-1]) < 0.5 < float(losses[0])


def test_the_same_seed_gives_the_same_losses(text: Path, tmp_path: Path) -> None:
    def losses(name: str, seed: int) -> list[object]:
        code, _, err = unrolled(
            "train", "generate", text, "--out", tmp_path / name, "--steps", 6, "--seed", seed, "--log-every", 1, *SMALL
        )
        assert code == 0, err
        return [line["loss"] for line in metrics(tmp_path / name)]

    assert losses("a", 7) == losses("b", 7) != losses("c", 8)


def test_an_existing_folder_wants_resume_or_overwrite(text: Path, tmp_path: Path) -> None:
    command = ("train", "generate", text, "--dev", text, "--out", tmp_path / "m", "--quiet", *SMALL)
    assert unrolled(*command, "--steps", 3).code == 0
    again = unrolled(*command, "--steps", 3)
    assert again.code == 2
    assert "--resume" in complaint(again)
    assert "--overwrite" in complaint(again)
    assert unrolled(*command, "--steps", 5, "--resume").code == 0
    assert max(int(str(line["step"])) for line in metrics(tmp_path / "m")) <= 5
    config = json.loads((tmp_path / "m" / "config.json").read_text("utf-8"))
    assert config["result"]["step"] == 5
    assert unrolled(*command, "--steps", 2, "--overwrite").code == 0
    assert json.loads((tmp_path / "m" / "config.json").read_text("utf-8"))["result"]["step"] == 2


def test_quiet_says_nothing(text: Path, tmp_path: Path) -> None:
    result = unrolled("train", "generate", text, "--out", tmp_path / "m", "--steps", 2, "-q", *SMALL)
    assert result == (0, "", "")


def test_until_ends_the_run(text: Path, tmp_path: Path) -> None:
    result = unrolled(
        "train", "generate", text, "--out", tmp_path / "m", "--steps", 50, "--until", "loss=100",
        "--evaluate-every", 1, *SMALL,
    )  # fmt: skip
    assert result.code == 0
    assert json.loads((tmp_path / "m" / "config.json").read_text("utf-8"))["result"]["step"] < 5


def test_without_matplotlib_training_ends_well_and_says_so_once(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = unrolled("train", "generate", text, "--out", tmp_path / "m", "--steps", 2, *SMALL)
    assert result.code == 0
    assert result.err.count("matplotlib") == 1
    assert "unrolled[plot]" in result.err


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_saves_says_how_to_go_on_and_exits_with_130(text: Path, tmp_path: Path) -> None:
    out = tmp_path / "m"
    command = [sys.executable, "-m", "unrolled.cli", "train", "generate", str(text), "--out", str(out)]
    command += ["--steps", "100000", "--log-every", "1", *map(str, SMALL)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 100
    while not ((out / "metrics.jsonl").exists() and len(metrics(out)) > 3) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in err
    assert "Traceback" not in err
    done = json.loads((out / "config.json").read_text("utf-8"))["result"]
    assert done["interrupted"]
    more = unrolled(
        "train", "generate", text, "--out", out, "--steps", done["step"] + 2, "--resume", "--log-every", 1, *SMALL
    )
    assert more.code == 0, more.err
    assert json.loads((out / "config.json").read_text("utf-8"))["result"]["step"] == done["step"] + 2


class Everything(Settings):
    """One option of each kind."""

    size: Annotated[int, Field(ge=2, lt=9)] | None = Field(None, description="how large")
    rate: Annotated[float, Field(gt=0)] = 0.5
    kind: Literal["one", "two"] = "one"
    pair: tuple[float, float] = (0.1, 0.2)
    names: list[str] = Field([])
    on: bool = False
    path: Path | None = None


def test_every_kind_of_field_becomes_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    seen: dict[str, object] = {}

    def command(first: str, **given: object) -> None:
        seen.update(first=first, **given)

    made = lone_command(options.accepting(command, options.parameters(Everything, "Own")), "made", "  made x\n\nMade.")
    made.main(["x"], standalone_mode=False)
    assert seen == {"first": "x"}
    arguments = "x --size 3 --rate 0.25 --kind two --pair 0.5 0.75 --names a --names b --on --path p"
    made.main(arguments.split(), standalone_mode=False)
    wanted = {"size": 3, "rate": 0.25, "kind": "two", "pair": (0.5, 0.75), "names": ["a", "b"], "on": True}
    assert seen == {"first": "x", **wanted, "path": Path("p")}
    made.main(["x", "--no-on"], standalone_mode=False)
    assert seen["on"] is False
    made.main(["--help"], standalone_mode=False)
    page = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert "how large [≥ 2 and < 9; chosen by the data]" in page
    assert "[> 0; 0.5]" in page
    assert "--on / --no-on" in page


def test_a_task_whose_options_clash_with_the_command_is_a_defect() -> None:
    def command(size: int = 1) -> None:
        """Has an option of that name already."""

    with pytest.raises(TypeError, match="two options are called 'size'"):
        options.accepting(command, options.parameters(Everything, "Own"))
