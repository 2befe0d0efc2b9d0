"""Every error that Unrolled raises on purpose.

    UnrolledError                   caught by the command: one line, exit code 2
    ├── ArgumentError               an option or argument out of range, or two that exclude each other   (ValueError)
    │   ├── ArgumentTypeError       an option or argument of the wrong type                              (TypeError)
    │   └── ShapeError              a tensor of the wrong shape: argument, expected, found                (RuntimeError)
    ├── DTypeError                  a tensor of the wrong dtype or device      (TypeError, ValueError, RuntimeError)
    ├── EngineError                 a forced engine can't serve a call; says what it lacks               (RuntimeError)
    ├── DataError                   a problem in a file: path, line or byte, what is wrong, the way out  (ValueError)
    │   ├── EncodingError           bytes that are not text in the given encoding
    │   └── LimitError              more pixels, samples, seconds or rows than are read at once
    ├── StorageError                a path that can't be read, written or filled                         (OSError)
    │   └── OutputExistsError       an output folder that would be overwritten
    ├── ModelError                  a model folder that is corrupt, foreign or of a later version
    │   ├── CheckpointError         no checkpoint of a run can be used
    │   └── StateError              a saved state that belongs to another model
    ├── DivergenceError             training produced nothing finite ten times in a row
    ├── WorkerError                 another process of a run that several share has ended or can't be reached
    └── MissingDependencyError      an optional library is not installed; says which extra brings it     (ImportError)

Anything else that escapes is a defect of ours: the command prints one line and exits with 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class UnrolledError(Exception):
    """Root of the tree above."""


class ArgumentError(UnrolledError, ValueError):
    """An option or argument that can't be used as given."""


class ArgumentTypeError(ArgumentError, TypeError):
    """An option or argument of a type that can't be used."""


class ShapeError(ArgumentError, RuntimeError):
    """A tensor whose shape does not fit.

    Args:
        argument: the argument's name as the caller wrote it.
        expected: the shape expected, in words or letters, e.g. ``"(T, B, I=8)"``.
        found: the actual shape.
        hint: the way out, one sentence.
    """

    def __init__(self, argument: str, expected: str, found: Sequence[int], hint: str = "") -> None:
        text = f"{argument}: expected shape {expected}, found {tuple(found)}"
        super().__init__(f"{text}. {hint}" if hint else text)


class DTypeError(UnrolledError, TypeError, ValueError, RuntimeError):
    """A tensor of the wrong dtype, or on the wrong device; torch raises all three of its bases."""


class EngineError(UnrolledError, RuntimeError):
    """A forced engine can't serve a call."""


class DataError(UnrolledError, ValueError):
    """A problem in the data: its place, what is wrong, and the way out.

    Args:
        message: what is wrong and what to do.
        path: the file.
        line: the 1-based line in the file, if known.
    """

    def __init__(self, message: str, path: str | Path | None = None, line: int | None = None) -> None:
        self.path, self.line = path, line
        place = "" if path is None else (f"{path}: " if line is None else f"{path}:{line}: ")
        super().__init__(place + message)


class EncodingError(DataError):
    """Bytes that are not text in the given encoding."""


class LimitError(DataError):
    """Data larger than what is read at once."""


class StorageError(UnrolledError, OSError):
    """A path that can't be read, written or filled."""


class OutputExistsError(StorageError):
    """An output folder that would be overwritten."""


class ModelError(UnrolledError):
    """A model folder that is corrupt, foreign or of a later version."""


class CheckpointError(ModelError):
    """No checkpoint of a run can be used."""


class StateError(ModelError):
    """A saved state that belongs to another model."""


class DivergenceError(UnrolledError):
    """Training produced nothing finite, again and again."""


class WorkerError(UnrolledError):
    """Another process of a run that several share has ended or can't be reached."""


class MissingDependencyError(UnrolledError, ImportError):
    """An optional library is not installed.

    Args:
        library: the import name that failed.
        extra: the extra of this package that brings it.
        purpose: the feature that needs it.
    """

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {library}, which is not installed: pip install 'unrolled[{extra}]'")
