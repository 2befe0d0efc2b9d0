"""card.md: what a model is, for the person who finds its folder."""

from __future__ import annotations

from pathlib import Path

from unrolled.storage import write_text
from unrolled.tasks.core.folder.config import ModelConfig
from unrolled.types import Json


def write_card(config: ModelConfig, shape: str, parameters: int, folder: Path, name: str) -> None:
    """Write card.md.

    Args:
        config: the model's.
        shape: which of the five shapes its use has.
        parameters: how many numbers were learned.
        folder: where to.
        name: the model's.

    Raises:
        StorageError: if it can't be written.
    """
    result = config.result
    beside = dict(result.get("baseline") or {})
    lines = [
        f"# {name}",
        "",
        f"A model for the task `{config.task}` ({shape}), trained with Unrolled "
        f"{config.versions.get('unrolled', '?')} on torch {config.versions.get('torch', '?')}.",
        "",
        *_made_from(config.base),
        "## How to use it",
        "",
        "```",
        f"unrolled predict {name} …",
        f"unrolled evaluate {name} DATA",
        "```",
        "```python",
        f'model = unrolled.load("{name}")',
        "```",
        "",
        "## Network",
        "",
        *_table({"parameters": f"{parameters:,}", **config.network}),
        "",
        "## Data",
        "",
        *([config.about, ""] if config.about else []),
        *_table(config.data),
        "",
        "## Training",
        "",
        *_table({"outcome": result.get("reason", ""), "steps": result.get("step"), "epochs": result.get("epoch")}),
        f"- time: {float(result.get('seconds') or 0) / 60:.1f} minutes with {result.get('threads')} threads",
        "",
        "Settings: " + ", ".join(f"`{k}={v}`" for k, v in config.training.items() if v is not None) + ".",
        "",
        "## Result on the development data",
        "",
        *_table(dict(result.get("dev") or {})),
        *(["", f"On the same data {beside.pop('model')}:", "", *_table(beside)] if beside else []),
        "",
        "`metrics.jsonl` holds the course of the run, `samples.md` what it produced on the way.",
        "",
    ]
    write_text(folder / "card.md", "\n".join(lines))


def _made_from(base: Json) -> list[str]:
    """Return the lines on the model that this one was made from, and on what it forgot of that."""
    if not base:
        return []
    frozen = ", whose encoder was not trained further" if base.get("freeze") else ""
    lines = [f"Training went on from the model `{base.get('name')}`{frozen}; it is not needed any more.", ""]
    before, after = (dict(base.get(name) or {}) for name in ("before", "after"))
    if both := [name for name in before if name in after]:
        lines += ["On the data of that model, before and after:", ""]
        lines += [f"- {name.replace('_', ' ')}: {before[name]:.4f} → {after[name]:.4f}" for name in both]
        lines.append("")
    return lines


def _table(values: dict[str, object]) -> list[str]:
    shown = {k: f"{v:.4f}" if isinstance(v, float) else v for k, v in values.items() if v is not None}
    return [f"- {name.replace('_', ' ')}: {value}" for name, value in shown.items()] or ["- none measured"]
