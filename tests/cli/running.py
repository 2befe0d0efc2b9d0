"""Running the command inside this process, which saves importing torch for each test."""

from __future__ import annotations

import io
import json
from typing import Any, NamedTuple
from unittest import mock

import torch

from unrolled.cli import main


class Result(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> list[Any]:
        """Standard output as JSON, an object a line."""
        return [json.loads(line) for line in self.out.splitlines()]


def unrolled(*arguments: object, stdin: bytes = b"") -> Result:
    """Run `unrolled ARGUMENTS`, with `stdin` on standard input."""
    streams = [io.TextIOWrapper(io.BytesIO(content), encoding="utf-8") for content in (stdin, b"", b"")]
    threads = torch.get_num_threads()
    names = ("sys.stdin", "sys.stdout", "sys.stderr")
    try:
        with mock.patch(names[0], streams[0]), mock.patch(names[1], streams[1]), mock.patch(names[2], streams[2]):
            code = main([str(a) for a in arguments])
        for stream in streams[1:]:
            stream.flush()
        out, err = (stream.buffer.getvalue().decode("utf-8") for stream in streams[1:])  # type: ignore[attr-defined]
    finally:
        torch.set_num_threads(threads)
    return Result(code, out, err)


def complaint(result: Result) -> str:
    """The one line that a failed command says, after its mark."""
    mark = "unrolled: error: "
    lines = result.err.splitlines()
    assert len(lines) == 1, result.err
    assert lines[0].startswith(mark)
    return lines[0].removeprefix(mark)
