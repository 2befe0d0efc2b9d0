"""The work around the loop's six steps: counting, logging, evaluating, sampling and saving."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from unrolled.errors import CheckpointError, DivergenceError, OutputExistsError
from unrolled.storage import plain_json
from unrolled.training.contract import B
from unrolled.training.criteria import first_met, fraction_used, metric_value
from unrolled.training.optimisation.finite import LIMIT_IN_A_ROW, all_finite, locate_nonfinite
from unrolled.training.progress import Snapshot
from unrolled.training.saving.packing import Nest
from unrolled.training.saving.randomness import preserved_randomness, seed_everything
from unrolled.training.state import LogWindow, RunState
from unrolled.types import Json


class Run(RunState[B]):
    """A run, before its first step. `loop.fit` says in which order these methods are called."""

    def begin(self, resume: bool) -> None:
        """Initialise the run, or restore its latest usable checkpoint.

        Raises:
            OutputExistsError: `resume` is False, and the folder holds a run.
            CheckpointError: `resume` is True, and no checkpoint can be used.
        """
        written = self.metrics.length > 0 or self.samples.length > 0
        if not resume and self.workers.leads and (written or self.checkpoints.steps()):
            folder = self.checkpoints.folder.parent
            raise OutputExistsError(
                f"{folder}: holds a training run already; give --resume to continue it, or another folder"
            )
        seed_everything(self.workers.seed(self.settings.seed))
        self.learner.network.train()
        latest = self._latest() if resume else None
        if latest is not None:
            self.restore(*latest)
            self.reporter.started(f"resuming from step {self.progress.step}{self._in_precision()}")
        elif written:
            raise CheckpointError(
                f"can't resume: {self.metrics.path} records a run, but {self.checkpoints.folder} is empty"
            )
        else:
            self.save()
            self.reporter.started(f"training begins{self._in_precision()}")
        self._since = time.perf_counter() - self.progress.seconds
        if self.progress.step == 0 and self.progress.evaluated_step is None:
            self._evaluate_and_sample(self.settings.evaluate_every > 0, self.settings.sample_every > 0)
            # The weights of step 0 are already saved, and a run resumed from there evaluates them again.
            self._improved = False

    def _latest(self) -> tuple[int, dict[str, Any]] | None:
        """Return step and state of the latest usable checkpoint, which the leader chooses; None without one."""
        latest = self.checkpoints.load_latest(self.reporter.notice) if self.workers.leads else None
        step = self.workers.agreed(None if latest is None else latest[0])
        return latest if self.workers.leads or step is None else (step, self.checkpoints.load(step))

    def _in_precision(self) -> str:
        return "" if self.settings.precision == "fp32" else f" in {self.precision}"

    def set_learning_rate(self) -> None:
        """Give the optimiser the learning rate of the next step."""
        lowered = 1.0 if self.overfitting is None else self.overfitting.factor
        self.lr = self.settings.lr * lowered * self.schedule.factor(self.progress.position)
        for group in self.optimiser.param_groups:
            group["lr"] = self.lr

    def count_step(self, total: float, count: int, norm: float, clipped: bool, seconds: float) -> None:
        """Record a step."""
        window = self.window
        window.total += total
        window.count += count
        window.steps += 1
        window.norms += norm
        window.clipped += clipped
        self.progress.skipped_in_a_row = 0
        self._count(total / max(1, count), norm, seconds)
        warning = self.watch.observe(norm)
        if warning:
            self.reporter.notice(f"step {self.progress.step}: {warning}")

    def count_skipped(self, loss: float, norm: float, batch: B | None, carried: Nest, seconds: float) -> None:
        """Record a step that was skipped because its loss or gradient is not finite.

        Args:
            loss, norm: the loss and the gradient norm.
            batch, carried: the inputs of the last forward pass; None where there was none.
            seconds: how long the step took.

        Raises:
            DivergenceError: it was the tenth in a row; says where the numbers stop being finite and what to try.
        """
        progress = self.progress
        progress.skipped += 1
        progress.skipped_in_a_row += 1
        if progress.skipped_in_a_row >= LIMIT_IN_A_ROW:
            where = "" if batch is None else f"; {locate_nonfinite(self.learner, batch, carried)}"
            raise DivergenceError(
                f"training has diverged: the last {LIMIT_IN_A_ROW} steps, up to step {progress.step + 1}, gave no "
                f"finite loss and gradient{where}. "
                f"{self._way_out()} {self.intact()}"
            )
        # A state that is not finite would spoil every following step.
        if self.workers.any(not all_finite(self.carried)):
            self.carried = None
        self._count(loss, norm, seconds)
        if progress.skipped_in_a_row == 1:
            self.reporter.notice(f"step {progress.step} skipped: its loss is {loss:g} and its gradient norm {norm:g}")

    def _count(self, loss: float, norm: float, seconds: float) -> None:
        """Record what every step adds, done or skipped."""
        progress, window = self.progress, self.window
        progress.step += 1
        progress.batches += self.settings.accumulate
        progress.seconds = time.perf_counter() - self._since
        window.seconds += seconds
        used = fraction_used(self.criteria, progress.position)
        self.reporter.stepped(
            Snapshot(
                step=progress.step,
                epoch=progress.epoch,
                loss=loss,
                grad_norm=norm,
                lr=self.lr,
                items_per_second=window.count / window.seconds if window.seconds else 0.0,
                seconds=progress.seconds,
                seconds_left=progress.seconds * (1 - used) / used if used else None,
                skipped=progress.skipped,
            )
        )

    def do_what_is_due(self) -> None:
        """Log, evaluate, sample and save, each if it is due. The save comes last and so covers the others."""
        step, settings = self.progress.step, self.settings
        if _due(step, settings.log_every):
            self._log()
        evaluates = _due(step, settings.evaluate_every)
        self._evaluate_and_sample(evaluates, _due(step, settings.sample_every))
        if evaluates and self.overfitting is not None and self.progress.evaluated_step == step:
            value = metric_value(self.progress.metrics, settings.monitor)
            if sentence := self.overfitting.observe(self.progress.best, value):
                self.reporter.notice(f"step {step}: {sentence}")
                self._restore_best("training goes on from the last weights")
        if self._improved or _due(step, settings.save_every) or _due(step, settings.keep_every):
            self.save()

    def reason_to_stop(self, asked: int) -> str | None:
        """Return the reason of the first criterion met, or of a signal; None to go on.

        Args:
            asked: the number of the signal that asked this process to stop, or 0. Any worker's stops all of them.
        """
        workers, progress = self.workers, self.progress
        if workers.count > 1:
            # the leader's clock decides
            progress.seconds = workers.agreed(progress.seconds)
            asked = workers.any(asked or workers.stop_signal())
        if reason := first_met(self.criteria, progress):
            return reason
        self.interrupted = asked > 0
        if not asked:
            return None
        name = signal.Signals(asked).name
        return f"stopped by {name} after step {progress.step}, all saved; continue with --resume"

    def finish(self, evaluate: bool) -> None:
        """Evaluate and sample a last time, save, and leave the weights that did best in the network.

        Args:
            evaluate: False to save only.
        """
        step = self.progress.step
        if evaluate:
            self._evaluate_and_sample(
                self.settings.evaluate_every > 0 and self.progress.evaluated_step != step,
                self.settings.sample_every > 0 and self.sampled_step != step,
            )
        # the leader alone has samples
        if self.workers.any(self.saved_step != step or self._unsaved):
            self.save()
        self._restore_best("the last weights are used")
        self.averaging.install()

    def _restore_best(self, otherwise: str) -> None:
        """Put the weights that did best, and their average, into the network; say `otherwise` where that fails."""
        best = self.progress.best.step
        if best is None or best == self.progress.step:
            return
        try:
            state = self.checkpoints.load(best)
        except CheckpointError as error:
            self.reporter.notice(f"{otherwise}, not the best: {error}")
        else:
            self.learner.network.load_state_dict(state["network"])
            self.restore_part("averaging", self.averaging, state)

    def intact(self) -> str:
        """Return a sentence about what remains if the run ends now."""
        if self.saved_step is None:
            return "Nothing has been saved yet."
        return f"The checkpoint of step {self.saved_step} is intact: continue from it with --resume."

    def _way_out(self) -> str:
        clip = (
            "a --clip-norm such as 1"
            if self.settings.clip_norm is None
            else f"a lower --clip-norm (it was {self.settings.clip_norm:g})"
        )
        return f"Try a lower --lr (it was {self.lr:g}), {clip} or more --warmup-steps."

    def _log(self) -> None:
        """Write a line about the steps since the last one."""
        window = self.window
        report, self.flow.report = self.flow.report, None
        self._write(
            "train",
            {
                "loss": window.total / window.count if window.count else None,
                "lr": self.lr,
                "grad_norm": window.norms / window.steps if window.steps else None,
                "clipped": window.clipped / window.steps if window.steps else None,
                "items_per_second": window.count / window.seconds if window.seconds else None,
                **({} if report is None else {"flow": report}),
            },
        )
        self.window = LogWindow()

    def _write(self, split: str, values: Json | dict[str, float]) -> None:
        progress = self.progress
        record = {"step": progress.step, "split": split, **values}
        record.update(epoch=progress.epoch, seconds=progress.seconds, skipped=progress.skipped)
        record = plain_json(record)
        self.metrics.append(json.dumps(record, allow_nan=False) + "\n")
        self._unsaved = True
        self.reporter.logged(record)

    def _evaluate_and_sample(self, evaluate: bool, sample: bool) -> None:
        if not (evaluate or sample):
            return
        # Both together, since the averaged weights have to be swapped in and out.
        self.workers.average_statistics(self.learner.network)
        with self._evaluation_mode():
            if evaluate:
                self._evaluate()
            if sample:
                self._sample()
        self.progress.seconds = time.perf_counter() - self._since

    @contextmanager
    def _evaluation_mode(self) -> Iterator[None]:
        """Switch to evaluation mode with averaged weights; nothing of it shows in the training that follows."""
        modes = [(module, module.training) for module in self.learner.network.modules()]
        self.learner.network.eval()
        try:
            with self.averaging.applied(), preserved_randomness(), torch.no_grad():
                yield
        finally:
            for module, mode in modes:
                module.training = mode

    def _evaluate(self) -> None:
        with self.workers.sharing():
            metrics = {name: float(value) for name, value in self.learner.evaluate().items()}
        metrics = self.workers.agreed(metrics)
        progress, settings = self.progress, self.settings
        needed = settings.until or settings.patience or settings.schedule == "plateau" or settings.averaging == "tail"
        if not metrics and not needed:
            return
        loss = metric_value(metrics, "loss")
        progress.metrics, progress.evaluated_step = metrics, progress.step
        self._improved = progress.best.observe(progress.step, metrics)
        self.schedule.observe(loss)
        self.averaging.observe(loss)
        progress.seconds = time.perf_counter() - self._since
        self._write("dev", metrics)

    def _sample(self) -> None:
        progress = self.progress
        self.sampled_step = progress.step
        text = self.learner.sample() if self.workers.leads else None
        if text is None:
            return
        loss = f" · dev loss {progress.metrics['loss']:.4f}" if progress.evaluated_step == progress.step else ""
        # A fence longer than any in the text, which then can't close it.
        fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
        title = "" if self.samples.length else "# What the model produced as it learned\n"
        self.samples.append(
            f"{title}\n## Step {progress.step} · epoch {progress.epoch:.2f}{loss}\n\n{fence}text\n{text}\n{fence}\n"
        )
        self._unsaved = True
        self.reporter.sampled(progress.step, text)

    def save(self) -> None:
        """Save a checkpoint of this moment; the leader does, and the others wait for it.

        Raises:
            StorageError: the disk is full, or the like; everything saved before is still there.
        """
        step = self.progress.step
        self.workers.average_statistics(self.learner.network)
        state = self.state_dict()
        if self.workers.leads:
            self._write_checkpoint(step, state)
        self.workers.wait()
        self.saved_step, self._improved, self._unsaved = step, False, False

    def _write_checkpoint(self, step: int, state: Mapping[str, Any]) -> None:
        # The files must be on the disk before the checkpoint that refers to them.
        self.metrics.sync()
        self.samples.sync()
        path = self.checkpoints.save(step, state)
        best = self.progress.best.step
        self.checkpoints.prune(() if best is None else (best,), self.settings.keep_every)
        self.reporter.saved(step, path)


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
