"""Examples, each whole (a sentence with its tags, a clip with its transcript): encoded once, memory-mapped, batched.

N examples, B batch, T time. Encoded, an example is a dictionary of arrays; a store keeps them on disk, so that images,
video and sound do not have to fit in memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from unrolled.data.core.positions import check_shares, position_in
from unrolled.errors import ArgumentError, DataError, ModelError
from unrolled.storage import make_folder, storage_error, write_whole
from unrolled.types import Json

#: an array of any dtype
Array = NDArray[Any]
#: an encoded example: a name and an array for each of its parts
Arrays = dict[str, Array]

_HEADER = "header.json"
_FORMAT = "unrolled.examples"


@dataclass(frozen=True, kw_only=True)
class Example:
    """One thing to learn from, as a reader yields it. Readers add `given`, the input, and `target`, the answer.

    Attributes:
        path: the file it comes from.
        line: its 1-based line there, if it has one.
    """

    path: str = ""
    line: int | None = None

    if TYPE_CHECKING:
        # readers define both, as fields or as properties

        @property
        def given(self) -> Any:
            """The input: a text, a picture, a sound; large ones are named, not yet decoded."""

        @property
        def target(self) -> Any:
            """The answer."""

    @property
    def key(self) -> str:
        """Equal for two examples of the same input: duplicates in one part, a leak in two.

        The split into training and development data keeps them together.
        """
        return f"{self.path}:{self.line}"

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels it carries, for the search for labels that training never saw."""
        return ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it to read."""
        return False


def split_by_key(examples: Sequence[Example], share: float) -> tuple[list[Example], list[Example]]:
    """Hold out a part by a hash of each example's key: the same in whatever order files come, equal inputs together.

    Args:
        examples: at least two different ones.
        share: the part held out, above 0 and below 1.

    Returns:
        The training part and the part held out; neither is empty.

    Raises:
        DataError: all examples have the same input, so that nothing can be held out.
    """
    drawn = [int.from_bytes(hashlib.blake2b(e.key.encode(), digest_size=8).digest(), "big") for e in examples]
    if len(set(drawn)) < 2:
        where = examples[0].path if examples else None
        raise DataError(
            f"{len(examples)} example{'s' * (len(examples) != 1)} of one input: at least 2 different ones are needed "
            "to learn from some and judge by others; name development data with --dev",
            where,
        )
    limit = min(max(int(share * 2**64), min(drawn)), sorted(set(drawn))[-2])
    pairs = list(zip(examples, drawn, strict=True))
    return [e for e, d in pairs if d > limit], [e for e, d in pairs if d <= limit]


class ExampleStore:
    """Encoded examples on disk, mapped into memory: `store[n]` is the n-th as a dictionary of arrays.

    A folder with `NAME.bin` (all examples' entries one after the other) and `NAME.shapes.npy` (N, dims) for each part,
    and a header that is written last.
    """

    def __init__(self, folder: Path, header: Json) -> None:
        self.folder, self.fingerprint = folder, str(header["fingerprint"])
        self._count = int(header["count"])
        self._parts: dict[str, tuple[Array, NDArray[np.int64], NDArray[np.int64]]] = {}
        for name, dtype in header["parts"].items():
            shapes = np.load(folder / f"{name}.shapes.npy", allow_pickle=False)
            sizes = shapes.prod(axis=1, dtype=np.int64)
            path = folder / f"{name}.bin"
            content = np.memmap(path, dtype, "r") if path.stat().st_size else np.empty(0, dtype)
            if len(content) != sizes.sum() or len(shapes) != self._count:
                raise ValueError(f"{name} is cut short")
            self._parts[name] = (content, shapes, np.concatenate([[0], np.cumsum(sizes)]))

    @classmethod
    def write(cls, folder: str | Path, examples: Iterable[Arrays]) -> ExampleStore:
        """Store examples as they come; only one is in memory at a time.

        Args:
            folder: created if it does not exist, overwritten if it does.
            examples: all with the same parts, of the same dtypes and numbers of dimensions.

        Raises:
            StorageError: the folder can't be written.
        """
        folder = Path(folder)
        make_folder(folder)
        (folder / _HEADER).unlink(missing_ok=True)
        files: dict[str, BinaryIO] = {}
        dtypes: dict[str, str] = {}
        shapes: dict[str, list[tuple[int, ...]]] = {}
        hashes: dict[str, hashlib._Hash] = {}
        count = 0
        try:
            for example in examples:
                for name, given in example.items():
                    array = np.ascontiguousarray(given)
                    if name not in files:
                        files[name] = (folder / f"{name}.bin").open("wb")
                        dtypes[name], shapes[name], hashes[name] = array.dtype.str, [], hashlib.sha256()
                    if array.dtype.str != dtypes[name]:
                        raise TypeError(f"part {name!r}: {array.dtype} after {dtypes[name]}")
                    # () would have no row of sizes to multiply
                    shapes[name].append(np.shape(given) or (1,))
                    data = array.tobytes()
                    files[name].write(data)
                    hashes[name].update(data)
                count += 1
            total = hashlib.sha256()
            for name, rows in shapes.items():
                table = np.asarray(rows, dtype=np.int64)
                np.save(folder / f"{name}.shapes.npy", table, allow_pickle=False)
                total.update(name.encode() + dtypes[name].encode() + table.tobytes() + hashes[name].digest())
        except OSError as error:
            raise storage_error(error, folder, "storing the encoded examples") from error
        finally:
            for file in files.values():
                file.close()
        header = {"format": _FORMAT, "count": count, "parts": dtypes, "fingerprint": total.hexdigest()}
        write_whole(folder / _HEADER, json.dumps(header).encode())
        return cls.open(folder)

    @classmethod
    def open(cls, folder: str | Path) -> ExampleStore:
        """Map what `write` stored.

        Raises:
            ModelError: it is not whole.
        """
        folder = Path(folder)
        try:
            header = json.loads((folder / _HEADER).read_text("utf-8"))
            if header.get("format") != _FORMAT:
                raise ValueError("another format")
            return cls(folder, header)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{folder}: the encoded examples are missing or damaged ({error}); train anew") from error

    def verify(self) -> None:
        """Check the content against its checksum.

        Raises:
            ModelError: it has changed.
        """
        total = hashlib.sha256()
        for name, (content, shapes, _) in self._parts.items():
            digest = hashlib.sha256(content.tobytes()).digest()
            total.update(name.encode() + content.dtype.str.encode() + shapes.tobytes() + digest)
        if total.hexdigest() != self.fingerprint:
            raise ModelError(f"{self.folder}: the encoded examples are damaged; train anew")

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Arrays:
        return {
            name: content[ends[index] : ends[index + 1]].reshape(shapes[index])
            for name, (content, shapes, ends) in self._parts.items()
        }

    def sizes(self, part: str, axis: int = 0) -> NDArray[np.int64]:
        """Return the length of one part of each example along an axis, (N,)."""
        return self._parts[part][1][:, axis]


class ExampleBatch(NamedTuple):
    """Some examples side by side.

    Attributes:
        data: tensors, as the task's `collate` made them.
        epoch: which pass over the data this is, from 0.
        number: how many batches came before it, in all passes.
        resets: always True: each example is whole, no state is carried to the next batch.
    """

    data: dict[str, torch.Tensor]
    epoch: int
    number: int
    resets: bool = True


#: examples and a generator of random numbers → tensors
Collate = Callable[[list[Arrays], np.random.Generator], dict[str, torch.Tensor]]


class ExampleBatches:
    """Batches of examples of similar length, in another order each epoch; every example once an epoch, the last
    partial batch included. The next batch depends on nothing but `state_dict`.

    Args:
        store: the examples; anything with a length that can be indexed.
        lengths: (N,) by which examples are put together, so that little is padded; None leaves them unsorted.
        batch_size: B.
        collate: makes a batch of examples; its generator depends on seed, epoch and position alone.
        seed: of the order.
        pool: batches that are sorted among themselves; 1 does not sort.

    Raises:
        ArgumentError: batch_size below 1.
        DataError: there is no example.
    """

    def __init__(
        self,
        store: ExampleStore | Sequence[Arrays],
        lengths: NDArray[np.integer[Any]] | None,
        batch_size: int,
        collate: Collate,
        *,
        seed: int = 0,
        pool: int = 50,
    ) -> None:
        if batch_size < 1:
            raise ArgumentError(f"batch_size: expected at least 1, found {batch_size}")
        if not len(store):
            raise DataError("no example to learn from")
        self.store, self.lengths, self.batch_size = store, lengths, batch_size
        self.seed, self.pool, self._collate = seed, pool if lengths is not None else 1, collate
        self._epoch = self._position = 0
        self._worker, self._workers = 0, 1
        self._order = self._ordered(0)

    @property
    def batches_per_epoch(self) -> int:
        """Batches that cover the data once."""
        return -(-len(self.store) // self.batch_size)

    def shared(self, worker: int, workers: int) -> ExampleBatches:
        """Return one worker's share: every W-th example of each batch, of W workers, so that their lengths are alike.

        Raises:
            ArgumentError: there are fewer examples in a batch than workers.
        """
        check_shares(self.batch_size, workers)
        share = copy(self)
        share._worker, share._workers = worker, workers
        return share

    def next_batch(self) -> ExampleBatch | None:
        """Return the next batch; None where an epoch's last one is too small for this worker to have a share."""
        chosen = self._order[self._position][self._worker :: self._workers]
        # the first worker draws what one alone would
        place = (self.seed, self._epoch, self._position, *([self._worker] if self._worker else []))
        batch = None
        if len(chosen):
            data = self._collate([self.store[int(n)] for n in chosen], np.random.default_rng(place))
            batch = ExampleBatch(data, self._epoch, self._epoch * self.batches_per_epoch + self._position)
        self._position += 1
        if self._position == self.batches_per_epoch:
            self._start(self._epoch + 1)
        return batch

    def state_dict(self) -> dict[str, int]:
        """Return the position, with the sizes that it holds for."""
        return {"epoch": self._epoch, "position": self._position, **self._identity()}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue where `state_dict` was taken.

        Raises:
            StateError: it was taken over other data, or with another size or seed.
        """
        epoch, position = position_in(state, self._identity(), self.batches_per_epoch, "data")
        self._start(epoch)
        self._position = position

    def _identity(self) -> dict[str, int]:
        return {"examples": len(self.store), "batch_size": self.batch_size, "seed": self.seed}

    def _start(self, epoch: int) -> None:
        self._epoch, self._position = epoch, 0
        self._order = self._ordered(epoch)

    def _ordered(self, epoch: int) -> list[NDArray[np.int64]]:
        draw = np.random.default_rng([self.seed, epoch])
        order = draw.permutation(len(self.store))
        if self.pool > 1 and self.lengths is not None:
            size = self.pool * self.batch_size
            pools = [order[at : at + size] for at in range(0, len(order), size)]
            order = np.concatenate([pool[np.argsort(self.lengths[pool], kind="stable")] for pool in pools])
        batches = [order[at : at + self.batch_size] for at in range(0, len(order), self.batch_size)]
        return [batches[k] for k in draw.permutation(len(batches))]


def sorted_batches(lengths: Sequence[int] | NDArray[np.integer[Any]], batch_size: int) -> list[NDArray[np.int64]]:
    """Return the indices of all examples, the longest first, in batches of similar length, for one pass.

    >>> [batch.tolist() for batch in sorted_batches([3, 9, 5], 2)]
    [[1, 2], [0]]
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    return [order[at : at + batch_size] for at in range(0, len(order), batch_size)]


def padded(arrays: Sequence[Array], value: float = 0) -> torch.Tensor:
    """Return arrays (T_b, …) side by side, time first: (T, B, …), `value` beyond the end of each.

    >>> padded([np.array([1, 2]), np.array([3])]).tolist()
    [[1, 3], [2, 0]]
    """
    longest = max(len(a) for a in arrays)
    result = np.full((longest, len(arrays), *arrays[0].shape[1:]), value, dtype=arrays[0].dtype)
    for column, array in enumerate(arrays):
        result[: len(array), column] = array
    return torch.from_numpy(result)


def lengths_of(arrays: Sequence[Array]) -> torch.Tensor:
    """Return the length of each array, (B,) int64."""
    return torch.tensor([len(a) for a in arrays], dtype=torch.int64)
