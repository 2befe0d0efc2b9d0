"""One writer to a folder at a time: a lock that the system takes back when its process ends, however it ends."""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from unrolled.errors import ModelError, StorageError
from unrolled.storage.reading import read_whole
from unrolled.storage.writing import make_folder, storage_error

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger("unrolled.storage")

LOCK = ".lock"
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
#: what file systems without locks answer
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_held: list[FolderLock] = []


class FolderLock:
    """A lock on a folder, held by one thread.

    Args:
        folder: it exists.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.depth = folder, 0
        self._owner = _this_thread()
        self._descriptors: list[int] = []

    def holds(self, folder: Path) -> bool:
        """Return whether this thread has locked a folder with this lock."""
        path = folder / LOCK
        return (
            self._owner == _this_thread()
            and path.exists()
            and any(os.path.samestat(os.fstat(descriptor), os.lstat(path)) for descriptor in self._descriptors)
        )

    def take(self) -> None:
        """Lock what lies at the folder's place now, and keep what was locked before: a folder may be moved away.

        Raises:
            StorageError: another process or thread writes there, or the system refuses.
        """
        path = self.folder / LOCK
        if self.holds(self.folder):
            return
        try:
            self._descriptors.append(_acquired(path))
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            if error.errno not in _NO_LOCKS:
                raise storage_error(error, path, "locking the folder") from error
            log.warning("%s: this file system has no locks; nothing keeps a second run from writing there", path)

    def release(self) -> None:
        """Unlock everything."""
        path = self.folder / LOCK
        for descriptor in self._descriptors:
            try:
                if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
                    path.unlink()
            except OSError as error:
                log.debug("%s: left behind: %s", path, error)
            os.close(descriptor)
        self._descriptors.clear()


@contextmanager
def locked(folder: str | Path) -> Iterator[FolderLock]:
    """Keep other processes and threads from writing into a folder; within one thread, this may be nested.

    Args:
        folder: created if need be; removed again if it was, and nothing came of it.

    Raises:
        StorageError: another process or thread writes there, which the message names; or the folder can't be written.
    """
    folder = Path(folder)
    is_new = not folder.exists()
    make_folder(folder)
    lock = next((lock for lock in _held if lock.holds(folder)), None)
    if lock is None:
        lock = FolderLock(folder)
        lock.take()
        _held.append(lock)
    lock.depth += 1
    try:
        yield lock
    finally:
        lock.depth -= 1
        if not lock.depth:
            _held.remove(lock)
            lock.release()
            if is_new and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def is_vacant(folder: Path) -> bool:
    """Return whether a folder holds nothing, except perhaps a lock.

    Raises:
        OSError: as the system says.
    """
    return all(entry.name == LOCK for entry in folder.iterdir())


def _this_thread() -> tuple[int, int]:
    # a fork has its parent's memory, but not its lock
    return os.getpid(), threading.get_ident()


def _acquired(path: Path) -> int:
    """Return the descriptor of a lock file that this process has locked.

    Raises:
        StorageError: another holds it.
        OSError: as the system says.
    """
    if fcntl is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    while True:
        descriptor = os.open(path, _FLAGS, 0o644)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise StorageError(f"{path}: not a regular file; remove it")
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # whoever held it may have removed it before it was locked here
            if not path.exists() or not os.path.samestat(os.fstat(descriptor), os.lstat(path)):
                os.close(descriptor)
                continue
        except BlockingIOError as error:
            os.close(descriptor)
            raise StorageError(f"{path.parent}: {_owner(path)}; wait for it, end it, or name another folder") from error
        except BaseException:
            os.close(descriptor)
            raise
        _sign(descriptor, path)
        return descriptor


def _sign(descriptor: int, path: Path) -> None:
    """Write who holds a lock into its file."""
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": f"{datetime.now():%Y-%m-%d %H:%M}"}
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(owner).encode())
    except OSError as error:
        # the lock holds all the same, and what is to be written next says what is wrong with the disk
        log.debug("%s: can't be written: %s", path, error)


def _owner(path: Path) -> str:
    """Say who holds a lock."""
    try:
        owner = json.loads(read_whole(path, 4096))
        return f"process {int(owner['pid'])} on {owner['host']} has been writing here since {owner['since']}"
    except (OSError, ModelError, ValueError, KeyError, TypeError):
        return "another process is writing here"
