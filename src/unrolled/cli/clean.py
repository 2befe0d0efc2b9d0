"""`unrolled clean`: leaves in a model's folder no more than the model needs."""

from __future__ import annotations

from unrolled.cli.arguments import ModelFolder
from unrolled.terminal import say


def clean(model: ModelFolder) -> None:
    """
      unrolled clean my-model

    Delete what only training needed: checkpoints and encoded data. The model predicts as before; its run can't be
    resumed any more, and a model made from it with --from is measured on --old-data alone.
    """
    from unrolled.tasks.core.folder.clean import clean as cleaned

    freed = cleaned(model)
    say(f"{freed / 1e6:,.1f} MB freed in {model}" if freed else f"nothing to delete in {model}")
