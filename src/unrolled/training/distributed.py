"""Several processes that train one network: each on its share of every batch, their gradients added up before a step.

`torchrun` starts the processes and says in the environment who they are; `joined` connects them. The run and its loop
hold a `Workers` and call it whether there are several or one: alone, every method returns what it is given. Worker 0
leads: it prepares the data, writes all files and reads the clock; decisions that depend on these follow it.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

import safetensors.torch
import torch
import torch.distributed as dist
from torch import Tensor, nn

from unrolled.errors import ArgumentError, WorkerError
from unrolled.training.contract import B, Batches
from unrolled.training.saving.packing import Nest, columns, joined_columns, pack, unpack

T = TypeVar("T")
R = TypeVar("R")

#: what torchrun tells a worker about the others
ADDRESS = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
#: how long workers wait for each other to connect; and later, while worker 0 prepares the data or another is slow
CONNECTING, WAITING = timedelta(minutes=5), timedelta(days=7)
#: how far apart the seeds of workers are
_SEEDS_APART = 1_000_003


class Workers:
    """The processes of a run, seen from one of them; this class is a run of a single process.

    Attributes:
        rank: the number of this worker, from 0.
        count: how many there are.
    """

    rank, count = 0, 1

    @property
    def leads(self) -> bool:
        """Whether this worker writes the files."""
        return self.rank == 0

    def part_of(self, batches: Batches[B]) -> Batches[B]:
        """Return this worker's share of each batch.

        Raises:
            ArgumentError: there is nothing to share out, or the batches can't be.
        """
        return batches

    def seed(self, seed: int) -> int:
        """Return this worker's own seed, so that no two drop out the same units."""
        return (seed + self.rank * _SEEDS_APART) % 2**32

    def add_up(self, parameters: Sequence[nn.Parameter], numbers: Sequence[float | Tensor]) -> list[float | Tensor]:
        """Add up over all workers the gradients, in place, and some numbers, in one collective operation."""
        return list(numbers)

    def agreed(self, value: Nest) -> Any:
        """Return the leader's value; the others' are ignored."""
        return value

    def gathered(self, value: Nest) -> list[Any]:
        """Return the values of all workers, in their order."""
        return [value]

    def any(self, number: int) -> int:
        """Return the largest of the workers' numbers, e.g. of flags."""
        return number

    def wait(self) -> None:
        """Wait until every worker has come here."""

    def stop_signal(self) -> int:
        """Return the number of a signal that nobody sent but that fits: SIGHUP if the launcher is gone, else 0."""
        return 0

    def average_statistics(self, network: nn.Module) -> None:
        """Average the running statistics of batch normalisation, which each worker takes over its own share."""

    @contextmanager
    def sharing(self) -> Iterator[None]:
        """Share out what is computed by `share_out` within the block."""
        yield


class ProcessGroup(Workers):
    """Several processes, connected by torch.distributed.

    Args:
        backend: of the tensors that are trained: gloo for CPUs, nccl for GPUs.

    Raises:
        WorkerError: the others can't be reached.
    """

    def __init__(self, backend: str) -> None:
        self.rank, self.count = dist.get_rank(), dist.get_world_size()
        self._parent = os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else None
        with _lost():
            self._tensors = dist.new_group(backend=backend, timeout=WAITING)
            # bytes of the CPU, which nccl does not carry
            self._control = dist.new_group(backend="gloo", timeout=WAITING)

    def part_of(self, batches: Batches[B]) -> Batches[B]:
        """Return this worker's share of each batch."""
        if self.count == 1:
            return batches
        share: Callable[[int, int], Batches[B]] | None = getattr(batches, "shared", None)
        if share is None:
            raise ArgumentError(f"{type(batches).__name__} has no method shared: this task is trained by one process")
        return share(self.rank, self.count)

    def add_up(self, parameters: Sequence[nn.Parameter], numbers: Sequence[float | Tensor]) -> list[float | Tensor]:
        """Add up gradients and numbers. A parameter without a gradient anywhere stays without one.

        In float32, or the widest type of the parameters.
        """
        dtype = torch.float32
        for parameter in parameters:
            dtype = torch.promote_types(dtype, parameter.dtype)
        device, missing = parameters[0].device, [n for n, p in enumerate(parameters) if p.grad is None]
        parts = [(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1).to(dtype) for p in parameters]
        has_gradient = torch.tensor([p.grad is not None for p in parameters], dtype=dtype, device=device)
        scalars = [torch.as_tensor(number, dtype=dtype, device=device).reshape(1) for number in numbers]
        flat = torch.cat([*parts, has_gradient, *scalars])
        with _lost():
            dist.all_reduce(flat, group=self._tensors)
        *summed, counted, sums = flat.split([*map(len, parts), len(parameters), len(scalars)])
        # read, which waits for the device, only where this worker had no share of the batch
        somewhere = counted.tolist() if missing else []
        for n, (parameter, total) in enumerate(zip(parameters, summed, strict=True)):
            if n not in missing or somewhere[n]:
                parameter.grad = total.view_as(parameter).to(parameter.dtype)
        return list(sums.unbind())

    def agreed(self, value: Nest) -> Any:
        """Return the leader's value."""
        data = _as_bytes(value) if self.leads else torch.empty(0, dtype=torch.uint8)
        size = torch.tensor([len(data)])
        with _lost():
            dist.broadcast(size, 0, group=self._control)
            data = data if self.leads else torch.empty(int(size), dtype=torch.uint8)
            dist.broadcast(data, 0, group=self._control)
        return value if self.leads else _from_bytes(data)

    def gathered(self, value: Nest) -> list[Any]:
        """Return the values of all workers."""
        data = _as_bytes(value)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
        with _lost():
            dist.all_gather(sizes, torch.tensor([len(data)]), group=self._control)
            padded = torch.zeros(max(map(int, sizes)), dtype=torch.uint8)
            padded[: len(data)] = data
            received = [torch.empty_like(padded) for _ in sizes]
            dist.all_gather(received, padded, group=self._control)
        return [_from_bytes(part[: int(size)]) for part, size in zip(received, sizes, strict=True)]

    def any(self, number: int) -> int:
        """Return the largest of the workers' numbers."""
        largest = torch.tensor([number])
        with _lost():
            dist.all_reduce(largest, dist.ReduceOp.MAX, group=self._control)
        return int(largest)

    def wait(self) -> None:
        """Wait until every worker has come here."""
        self.any(0)

    def stop_signal(self) -> int:
        """Return SIGHUP if torchrun has died, which nobody else would tell its workers."""
        return 0 if self._parent in (None, os.getppid()) else int(signal.SIGHUP)

    def average_statistics(self, network: nn.Module) -> None:
        """Average the running means and variances of batch normalisation."""
        norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        buffers = [b for norm in norms for b in (norm.running_mean, norm.running_var) if b is not None]
        for buffer in buffers:
            with _lost():
                dist.all_reduce(buffer, group=self._tensors)
            buffer /= self.count

    @contextmanager
    def sharing(self) -> Iterator[None]:
        """Share out what is computed by `share_out` within the block."""
        global _sharing
        _sharing = self
        try:
            yield
        finally:
            _sharing = _ALONE


_ALONE = Workers()
#: the workers of the run that this process is part of, and those that now share out an evaluation
_joined: Workers = _ALONE
_sharing: Workers = _ALONE


def workers() -> Workers:
    """Return the workers of the run that this process is part of."""
    return _joined


def is_leader() -> bool:
    """Return whether this process writes the files of a run and speaks to the user, joined to the others or not yet."""
    return os.environ.get("RANK", "0") == "0" and _joined.leads


def launched_by() -> str | None:
    """Return a name for the torchrun that started this process: the same after a restart; None without one."""
    run = os.environ.get("TORCHELASTIC_RUN_ID")
    return None if run is None else f"{socket.gethostname()}:{os.getppid()}:{run}"


def sharers() -> int:
    """Return how many workers share out what is computed now."""
    return _sharing.count


def share_out(items: Iterable[T], compute: Callable[[T], R]) -> Iterator[R]:
    """Yield `compute(item)` for each item, in order; while a run evaluates, each worker computes a part of them.

    Args:
        items: the same for every worker.
        compute: returns tensors on the CPU, arrays, numbers, strings, or tuples, lists and dicts of these.
    """
    if _sharing.count == 1:
        yield from map(compute, items)
        return
    own: list[Any] = []
    number = 0
    for number, item in enumerate(items, 1):
        if (number - 1) % _sharing.count == _sharing.rank:
            own.append(compute(item))
    parts = _sharing.gathered(own)
    for n in range(number):
        yield cast(R, parts[n % len(parts)][n // len(parts)])


def part_of_state(carried: Nest) -> Nest:
    """Return this worker's columns of a carried state of all sequences."""
    part: Nest = columns(carried, _joined.rank, _joined.count)
    return part


def whole_state(carried: Nest) -> Nest:
    """Return the carried state of the sequences of all workers."""
    whole: Nest = joined_columns(_joined.gathered(carried)) if _joined.count > 1 else carried
    return whole


@contextmanager
def joined(device: str) -> Iterator[Workers]:
    """Connect this process to the other workers of its run within the block, if it was started as one of several.

    Nested blocks share the connection, and so do later ones: a process connects once. A process group that exists
    already is used.

    Args:
        device: cpu, cuda, or auto for a GPU if there is one.

    Raises:
        ArgumentError: the environment says only a part of what torchrun says, or several workers can't share a device.
        WorkerError: the others can't be reached.
    """
    global _joined
    is_own = dist.is_available() and not dist.is_initialized()
    if _joined is not _ALONE or not dist.is_available() or (is_own and not _is_worker()):
        yield _joined
        return
    uses_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    backend = "nccl" if uses_gpu else "gloo"
    if is_own:
        _connect(backend)
        atexit.register(dist.destroy_process_group)
    _joined = ProcessGroup(backend)
    try:
        yield _joined
    finally:
        _joined = _ALONE


def own_device(name: str) -> str:
    """Return the device of one of several workers: on a machine with GPUs each has its own.

    Raises:
        ArgumentError: there are fewer GPUs than workers, or it is not for several workers.
    """
    if _joined.count == 1 or name == "cpu":
        return name
    if name != "cuda":
        raise ArgumentError(f"--device: several workers train on cpu or on cuda, each with its own GPU, found {name!r}")
    rank, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if rank >= there:
        raise ArgumentError(f"--device: this machine has {there} GPUs, and none for its worker {rank}; start fewer")
    return f"cuda:{rank}"


def _is_worker() -> bool:
    """Return whether the environment describes one of several workers.

    Raises:
        ArgumentError: it says only a part, or what can't be.
    """
    given = [name for name in ADDRESS[:2] if name in os.environ]
    if not given:
        return False
    way_out = "start workers with: torchrun --nproc-per-node N -m unrolled train …"
    missing = [name for name in ADDRESS if not os.environ.get(name)]
    if missing:
        raise ArgumentError(f"{given[0]} is set, but {' and '.join(missing)} not; {way_out}")
    for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"):
        if not os.environ[name].isdecimal():
            raise ArgumentError(f"{name}: expected a number, found {os.environ[name]!r}; {way_out}")
    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if rank >= count:
        raise ArgumentError(f"RANK: expected 0 to {count - 1}, as WORLD_SIZE={count}, found {rank}; {way_out}")
    return True


def _connect(backend: str) -> None:
    """Make the process group that the environment describes."""
    try:
        store, rank, count = next(dist.rendezvous("env://", timeout=CONNECTING))
        # torchrun's store outlives its workers, and knows where those of an earlier attempt could be reached
        attempt = f"unrolled/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}/{count}"
        store = dist.PrefixStore(attempt, store)
        dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=CONNECTING)
    except (RuntimeError, ValueError, OSError) as error:
        where, reason = f"MASTER_ADDR={os.environ['MASTER_ADDR']}", str(error).partition("\n")[0]
        where += f", MASTER_PORT={os.environ['MASTER_PORT']}"
        raise WorkerError(f"{where}: the other workers do not answer there: {reason}") from error


@contextmanager
def _lost() -> Iterator[None]:
    """Turn the failure of a collective operation into an error that names the likely cause."""
    try:
        yield
    except RuntimeError as error:
        # without the place in gloo's source, and its advice
        reason = re.sub(r"^\[.*?\] ", "", str(error).partition("\n")[0]).partition(". ")[0]
        raise WorkerError(
            f"another worker of this run has ended or can't be reached ({reason}); its own message says why. "
            "torchrun --max-restarts replaces workers, and --resume continues from the last checkpoint"
        ) from error


def _as_bytes(value: Nest) -> Tensor:
    """Return a nest as bytes, without pickle: a length, JSON and safetensors."""
    tree, tensors = pack(value)
    text = json.dumps(tree).encode()
    data = len(text).to_bytes(8, "little") + text + safetensors.torch.save(tensors)
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def _from_bytes(received: Tensor) -> Any:
    """Return what `_as_bytes` was given."""
    data = received.numpy().tobytes()
    end = 8 + int.from_bytes(data[:8], "little")
    return unpack(json.loads(data[8:end]), safetensors.torch.load(data[end:]))
