"""Typing with a model: its suggestions appear in grey, and Tab accepts them. Needs prompt_toolkit, the extra `type`."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol

from unrolled.errors import ArgumentError, MissingDependencyError
from unrolled.terminal import printable, say

if TYPE_CHECKING:
    from prompt_toolkit.auto_suggest import AutoSuggest
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    from unrolled.decoding import Suggestion
    from unrolled.tasks import Model

HELLO = "Type. Grey text is a suggestion: Tab (or →) accepts it. Enter ends the line, Ctrl-D quits."


class TypingSession(Protocol):
    """A stream that suggests how its text continues."""

    def fork(self) -> TypingSession:
        """Return an independent copy."""
        ...

    def push(self, text: str) -> object:
        """Read more text."""
        ...

    def suggestion(self, **options: Any) -> Suggestion | None:
        """Return the suggestion to show, or None."""
        ...


class TypedLine:
    """A text that is being typed: the lines entered so far, and the one in progress.

    The model reads only what was typed since the last suggestion; a line that was changed is read again.

    Args:
        session: a session of a model that suggests.
        options: options of its `suggestion`, e.g. `threshold`.
    """

    def __init__(self, session: TypingSession, options: dict[str, Any] | None = None) -> None:
        self._entered, self._options = session, options or {}
        self._lock = threading.Lock()
        self._text, self._at = "", session.fork()

    def suggest(self, line: str) -> str:
        """Return how the line in progress may continue; empty if the model is not sure enough."""
        with self._lock:
            if not line.startswith(self._text):
                self._text, self._at = "", self._entered.fork()
            self._at.push(line[len(self._text) :])
            self._text = line
            suggestion = self._at.suggestion(**self._options)
        return "" if suggestion is None else printable(suggestion.text).replace("\n", " ")

    def enter(self, line: str) -> None:
        """Finish the line; the model continues after it."""
        with self._lock:
            self._entered.push(line + "\n")
            self._text, self._at = "", self._entered.fork()


def type_with(model: Model, options: dict[str, Any]) -> None:
    """Read lines from the terminal, with suggestions, until Ctrl-D.

    Args:
        model: a model whose sessions suggest.
        options: options of `suggestion`.

    Raises:
        MissingDependencyError: prompt_toolkit is not installed.
        ArgumentError: the model does not suggest, or has no threshold.
    """
    try:
        from prompt_toolkit import PromptSession
    except ImportError as error:
        raise MissingDependencyError("prompt_toolkit", "type", "typing with suggestions") from error
    session = model.stream()
    if not hasattr(session, "suggestion"):
        raise ArgumentError(f"input: none is given, and the task {model.task.name!r} does not suggest; give INPUT")
    if options.get("threshold") is None and model.fitted.get("threshold") is None:
        why = model.fitted.get("threshold_reason") or "no coverage was fitted"
        raise ArgumentError(f"--threshold: this model has none of its own ({why}); give one, e.g. --threshold -1.5")
    typing = TypedLine(session, options)
    prompt: PromptSession[str] = PromptSession(auto_suggest=auto_suggest(typing), key_bindings=tab_accepts())
    say(HELLO)
    while True:
        try:
            typing.enter(prompt.prompt("> "))
        except KeyboardInterrupt:
            # Ctrl-C discards the line, as in a shell
            continue
        except EOFError:
            return


def auto_suggest(typing: TypedLine) -> AutoSuggest:
    """Return suggestions for prompt_toolkit, made in a thread so that typing never waits for the model."""
    from prompt_toolkit.auto_suggest import AutoSuggest, Suggestion, ThreadedAutoSuggest
    from prompt_toolkit.buffer import Buffer
    from prompt_toolkit.document import Document

    class FromModel(AutoSuggest):
        def get_suggestion(self, buffer: Buffer, document: Document) -> Suggestion | None:
            if not document.text or not document.is_cursor_at_the_end:
                return None
            suggestion = typing.suggest(document.text)
            return Suggestion(suggestion) if suggestion else None

    return ThreadedAutoSuggest(FromModel())


def tab_accepts() -> KeyBindings:
    """Return the key bindings, in which Tab inserts the suggestion, if there is one."""
    from prompt_toolkit.key_binding import KeyBindings

    bindings = KeyBindings()

    @bindings.add("tab")
    def _accept(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.suggestion and buffer.document.is_cursor_at_the_end:
            buffer.insert_text(buffer.suggestion.text)

    return bindings
