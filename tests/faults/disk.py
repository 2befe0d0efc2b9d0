"""A disk that fails: what is written under a folder is recorded, and any one operation can be made to fail or to kill.

    with Disk(root) as disk:            # records
        model.save(root / "m")
    for image in disk.images():         # what a kill or a power cut after any operation leaves
        image.write(elsewhere)

    with Disk(root, at=7, fault=failing(errno.EIO)):
        model.save(root / "m")          # its eighth operation fails

Operations are those that change a disk: create, write, truncate, fsync, rename, mkdir, unlink, rmdir. They are seen
where Python calls them by their names in `os`; `Disk.complete` says whether anything was written around them.
"""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from unrolled.storage import LOCK

#: a file's content, or None for a folder
Tree = dict[str, "bytes | None"]
#: what happens instead of an operation
Fault = Callable[["Operation"], None]
_PATCHED = ("open", "write", "fdopen", "fsync", "ftruncate", "rename", "replace", "mkdir", "unlink", "remove", "rmdir")


@dataclass(frozen=True)
class Operation:
    """One change of a disk.

    Attributes:
        kind: create, write, truncate, fsync, rename, mkdir, unlink or rmdir.
        path: what is changed, or renamed; relative to the root.
        to: the new name.
        file: the number of the file that is created, written, truncated or synced; None of a folder.
        at: the offset of a write, or the length after a truncation.
        data: what is written.
    """

    kind: str
    path: str
    to: str = ""
    file: int | None = None
    at: int = 0
    data: bytes = b""


def failing(number: int, *kinds: str) -> Fault:
    """Return a fault that raises an OSError; given kinds, only at operations of these."""

    def fault(operation: Operation) -> None:
        if not kinds or operation.kind in kinds:
            raise OSError(number, os.strerror(number), operation.path)

    return fault


def killing(operation: Operation) -> None:
    """A fault that ends the process at once, as nothing in it can prevent."""
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class File:
    """A file as programs see it, and what of it would be there after a power cut."""

    data: bytearray = field(default_factory=bytearray)
    durable: bytes = b""


@dataclass(frozen=True)
class Image:
    """What a disk holds after an accident.

    Attributes:
        after: the number of operations that were done.
        accident: kill, or a power cut that lost what was not synced: of files only, or names too.
        tree: the files and folders.
    """

    after: int
    accident: str
    tree: Tree

    def write(self, root: Path) -> None:
        """Create the files and folders under `root`."""
        for name, content in sorted(self.tree.items()):
            path = root / name
            if content is None:
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)


class Disk:
    """Watch what is written under a folder, and let something fail.

    Args:
        root: the folder; it exists.
        at: the operation, counted from 0, at which the fault happens; None for none.
        fault: what happens instead of it.
        lasts: whether it happens at all operations after that too.
    """

    def __init__(self, root: Path, at: int | None = None, fault: Fault = killing, lasts: bool = False) -> None:
        self.root, self.at, self.fault, self.lasts = root.resolve(), at, fault, lasts
        self.operations: list[Operation] = []
        self.before = tree_of(self.root)
        self._real: dict[str, Any] = {}
        # open descriptors: of files their number, of folders their path
        self._files: dict[int, int] = {}
        self._folders: dict[int, Path] = {}
        self._appends: set[int] = set()
        # files by device and inode; those of before are numbered first
        self._numbers: dict[tuple[int, int], int] = {}
        self._count = 0
        for name in sorted(name for name, content in self.before.items() if content is not None):
            self._number(os.stat(self.root / name))

    def _number(self, status: os.stat_result) -> int:
        key = (status.st_dev, status.st_ino)
        if key not in self._numbers:
            self._numbers[key] = self._count
            self._count += 1
        return self._numbers[key]

    def __enter__(self) -> Self:
        self._real = {name: getattr(os, name) for name in _PATCHED}
        for name in _PATCHED:
            setattr(os, name, getattr(self, f"_{'rename' if name == 'replace' else name}"))
        os.remove = self._unlink
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, function in self._real.items():
            setattr(os, name, function)

    def _name(self, path: Any, dir_fd: int | None = None) -> str | None:
        """Return a path relative to the root; None if it lies elsewhere, or is a lock, which a power cut ends."""
        base = Path.cwd() if dir_fd is None else self._folders.get(dir_fd)
        if base is None or isinstance(path, int):
            return None
        whole = Path(os.path.abspath(base / os.fsdecode(path)))
        whole = whole.parent.resolve() / whole.name
        return str(whole.relative_to(self.root)) if whole.is_relative_to(self.root) and whole.name != LOCK else None

    def _do(self, operation: Operation) -> None:
        """Count an operation, after its fault if it has one."""
        number = len(self.operations)
        if self.at is not None and (number == self.at or (self.lasts and number > self.at)):
            self.fault(operation)
        self.operations.append(operation)

    def _open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        name = self._name(path, dir_fd)
        if name is None:
            return int(self._real["open"](path, flags, mode, dir_fd=dir_fd))
        writes = flags & (os.O_WRONLY | os.O_RDWR)
        is_new = bool(writes) and not os.path.lexists(self.root / name)
        if is_new:
            self._do(Operation("create", name, file=self._count))
        elif flags & os.O_TRUNC:
            self._do(Operation("truncate", name, file=self._number(os.stat(self.root / name))))
        descriptor = int(self._real["open"](path, flags, mode, dir_fd=dir_fd))
        status = os.fstat(descriptor)
        if is_new:
            # its inode may have been that of a file which is gone
            self._numbers.pop((status.st_dev, status.st_ino), None)
            self._number(status)
        if writes:
            self._files[descriptor] = self._number(status)
            (self._appends.add if flags & os.O_APPEND else self._appends.discard)(descriptor)
        else:
            self._files.pop(descriptor, None)
            self._folders[descriptor] = self.root / name
        return descriptor

    def _wrote(self, descriptor: int, data: Any) -> None:
        size = os.fstat(descriptor).st_size
        at = size if descriptor in self._appends else os.lseek(descriptor, 0, os.SEEK_CUR)
        self._do(Operation("write", "", file=self._files[descriptor], at=at, data=bytes(data)))

    def _write(self, descriptor: int, data: Any) -> int:
        if descriptor in self._files:
            self._wrote(descriptor, data)
        return int(self._real["write"](descriptor, data))

    def _fdopen(self, descriptor: int, mode: str = "r", *args: Any, **options: Any) -> Any:
        if descriptor not in self._files:
            return self._real["fdopen"](descriptor, mode, *args, **options)
        raw = _Raw(descriptor, self)
        return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)

    def _fsync(self, descriptor: int) -> None:
        if descriptor in self._files:
            self._do(Operation("fsync", "", file=self._files[descriptor]))
        elif descriptor in self._folders:
            self._do(Operation("fsync", str(self._folders[descriptor].relative_to(self.root))))
        self._real["fsync"](descriptor)

    def _ftruncate(self, descriptor: int, length: int) -> None:
        if descriptor in self._files:
            self._do(Operation("truncate", "", file=self._files[descriptor], at=length))
        self._real["ftruncate"](descriptor, length)

    def _rename(self, source: Any, target: Any, **options: Any) -> None:
        name, to = self._name(source), self._name(target)
        if name is not None and to is not None and os.path.lexists(self.root / name):
            self._do(Operation("rename", name, to))
        self._real["replace"](source, target, **options)

    def _mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        name = self._name(path, dir_fd)
        if name is not None and not os.path.lexists(self.root / name):
            self._do(Operation("mkdir", name))
        self._real["mkdir"](path, mode, dir_fd=dir_fd)

    def _unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        name = self._name(path, dir_fd)
        if name is not None and os.path.lexists(self.root / name):
            self._do(Operation("unlink", name))
        self._real["unlink"](path, dir_fd=dir_fd)

    _remove = _unlink

    def _rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        name = self._name(path, dir_fd)
        if name is not None and os.path.lexists(self.root / name):
            self._do(Operation("rmdir", name))
        self._real["rmdir"](path, dir_fd=dir_fd)

    @property
    def complete(self) -> bool:
        """Whether the operations recorded explain everything that is there now."""
        return self._after(len(self.operations), "kill") == tree_of(self.root)

    def images(self) -> Iterator[Image]:
        """Yield what a kill and a power cut leave after each number of operations, each different tree once."""
        seen: set[int] = set()
        for after in range(len(self.operations) + 1):
            for accident in ("kill", "power cut, files", "power cut, names"):
                tree = self._after(after, accident)
                key = hash(frozenset(tree.items()))
                if key not in seen:
                    seen.add(key)
                    yield Image(after, accident, tree)

    def _after(self, count: int, accident: str) -> Tree:
        done = self.operations[:count]
        names = sorted(name for name, content in self.before.items() if content is not None)
        contents = [bytes(self.before[name] or b"") for name in names]
        files = {number: File(bytearray(data), data) for number, data in enumerate(contents)}
        space: dict[str, int | None] = {name: None for name, content in self.before.items() if content is None}
        space |= {name: number for number, name in enumerate(names)}
        for number, operation in enumerate(done):
            _apply_to_file(files, operation)
            if accident != "power cut, names" or _is_durable(operation, done[number + 1 :]):
                _apply_to_names(space, operation)
        return {
            name: None if number is None else bytes(files[number].data if accident == "kill" else files[number].durable)
            for name, number in space.items()
        }


class _Raw(io.FileIO):
    """A file whose writes a disk sees."""

    def __init__(self, descriptor: int, disk: Disk) -> None:
        super().__init__(descriptor, "r+")
        self._disk = disk

    def write(self, data: Any) -> int:
        self._disk._wrote(self.fileno(), data)
        return super().write(data) or 0


def _apply_to_file(files: dict[int, File], operation: Operation) -> None:
    if operation.file is None:
        return
    file = files.setdefault(operation.file, File())
    if operation.kind == "write":
        file.data[len(file.data) :] = bytes(max(0, operation.at - len(file.data)))
        file.data[operation.at : operation.at + len(operation.data)] = operation.data
    elif operation.kind == "truncate":
        del file.data[operation.at :]
    elif operation.kind == "fsync":
        file.durable = bytes(file.data)


def _apply_to_names(space: dict[str, int | None], operation: Operation) -> None:
    parent = os.path.dirname(operation.to or operation.path)
    if parent and parent not in space:
        # the folder itself was lost
        return
    if operation.kind == "create":
        space[operation.path] = operation.file
    elif operation.kind == "mkdir":
        space[operation.path] = None
    elif operation.kind in ("unlink", "rmdir"):
        space.pop(operation.path, None)
    elif operation.kind == "rename":
        moved = [name for name in space if name == operation.path or name.startswith(operation.path + "/")]
        for name, number in [(name, space.pop(name)) for name in moved]:
            space[operation.to + name[len(operation.path) :]] = number


def _is_durable(operation: Operation, later: list[Operation]) -> bool:
    """Return whether a change of names was synced by a later operation: an fsync of the folder that has the name."""
    parent = os.path.dirname(operation.to or operation.path) or "."
    return any(other.kind == "fsync" and other.file is None and other.path == parent for other in later)


def tree_of(root: Path) -> Tree:
    """Return all files and folders under a folder, except locks."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in sorted(root.rglob("*"))
        if path.name != LOCK
    }
