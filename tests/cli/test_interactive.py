"""Typing with a model: what is suggested, what Tab and Enter do, without a terminal and in a pseudo-terminal."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from unrolled import load
from unrolled.cli.interactive import TypedLine, auto_suggest, tab_accepts, type_with
from unrolled.errors import ArgumentError, MissingDependencyError


class Found(NamedTuple):
    text: str


class Session:
    """Suggests what it has read, reversed; counts the characters that it was made to read."""

    read = 0

    def __init__(self, text: str = "") -> None:
        self.text = text

    def fork(self) -> Session:
        return Session(self.text)

    def push(self, text: str) -> Session:
        Session.read += len(text)
        self.text += text
        return self

    def suggestion(self, threshold: float = 0.0) -> Found | None:
        return Found(self.text[::-1]) if len(self.text) > 1 and threshold == 0 else None


def test_only_what_is_new_is_read() -> None:
    typing = TypedLine(Session())
    Session.read = 0
    assert typing.suggest("a") == ""
    assert typing.suggest("ab") == "ba"
    assert typing.suggest("abc") == "cba"
    assert Session.read == 3
    assert typing.suggest("ax") == "xa"
    assert Session.read == 5


def test_entering_a_line_carries_on_from_it() -> None:
    typing = TypedLine(Session())
    typing.suggest("ab")
    typing.enter("ab")
    assert typing.suggest("c") == "c ba"
    assert typing.suggest("") == " ba"


def test_options_reach_the_session_and_control_characters_do_not_reach_the_terminal() -> None:
    assert TypedLine(Session(), {"threshold": 9.0}).suggest("ab") == ""
    assert TypedLine(Session()).suggest("b\x1b") == "�b"


def test_a_model_suggests_through_prompt_toolkit(model: Path) -> None:
    pytest.importorskip("prompt_toolkit")
    from prompt_toolkit.buffer import Buffer
    from prompt_toolkit.document import Document

    suggest = auto_suggest(TypedLine(load(model).stream(), {"threshold": -2.0}))
    found = suggest.get_suggestion(Buffer(), Document("Thank you for your he"))
    assert found.text.startswith("lp")
    assert suggest.get_suggestion(Buffer(), Document("Thank you for your he", 3)) is None
    assert suggest.get_suggestion(Buffer(), Document("")) is None


def test_tab_accepts_and_does_nothing_without_a_suggestion() -> None:
    pytest.importorskip("prompt_toolkit")
    from prompt_toolkit.auto_suggest import Suggestion
    from prompt_toolkit.buffer import Buffer

    class Event(NamedTuple):
        current_buffer: Buffer

    buffer = Buffer()
    [binding] = tab_accepts().bindings
    buffer.insert_text("he")
    binding.handler(Event(buffer))
    assert buffer.text == "he"
    buffer.suggestion = Suggestion("lp me")
    binding.handler(Event(buffer))
    assert buffer.text == "help me"


def test_without_prompt_toolkit_the_extra_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)
    with pytest.raises(MissingDependencyError, match=r"unrolled\[type\]"):
        type_with(load(model), {})


def test_a_model_without_a_threshold_wants_one(model: Path) -> None:
    loaded = load(model)
    loaded.fitted["threshold"] = None
    with pytest.raises(ArgumentError, match="--threshold: this model has none of its own"):
        type_with(loaded, {})


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals")
def test_in_a_terminal_grey_text_appears_and_tab_accepts_it(model: Path) -> None:
    pytest.importorskip("prompt_toolkit")
    import fcntl
    import pty
    import struct
    import termios

    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        os.environ.update(TERM="xterm", COLUMNS="100", LINES="30")
        os.execv(sys.executable, [sys.executable, "-m", "unrolled.cli", "predict", str(model), "--threshold", "-2"])
    seen = b""

    def wait_for(text: bytes, seconds: float = 60) -> None:
        nonlocal seen
        deadline = time.monotonic() + seconds
        while text not in seen and time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    seen += os.read(terminal, 65536)
                except OSError:
                    break
                # prompt_toolkit asks where the cursor is, and a terminal answers
                if b"\x1b[6n" in seen:
                    seen = seen.replace(b"\x1b[6n", b"")
                    os.write(terminal, b"\x1b[1;1R")
        assert text in seen, seen

    wait_for(b">")
    os.write(terminal, b"Thank you for your he")
    wait_for(b"lp")
    seen = b""
    os.write(terminal, b"\t")
    wait_for(b"lp")
    seen = b""
    os.write(terminal, b"\r")
    wait_for(b">")
    # while a line is being drawn anew, a key may come too early
    ended, deadline = (0, 0), time.monotonic() + 60
    while ended == (0, 0) and time.monotonic() < deadline:
        os.write(terminal, b"\x04")
        if select.select([terminal], [], [], 0.5)[0]:
            with contextlib.suppress(OSError):
                os.read(terminal, 65536)
        ended = os.waitpid(pid, os.WNOHANG)
    os.close(terminal)
    assert ended[0] == pid
    assert os.waitstatus_to_exitcode(ended[1]) == 0
