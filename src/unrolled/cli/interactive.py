"""Typing with a model: what it suggests appears in grey, and Tab accepts it. Needs prompt_toolkit, the extra `type`."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from unrolled.cli.console import printable
from unrolled.errors import ArgumentError, MissingDependencyError

if TYPE_CHECKING:
    from unrolled.tasks import Model

HELLO = "Type. Grey text is a suggestion: Tab (or →) accepts it. Enter ends the line, Ctrl-D ends all."


class Typing:
    """A text that is being typed: lines that were entered, and the one in progress.

    Only what was typed since the last look is read by the model; a line that was changed is read again.

    Args:
        session: a session of a model that suggests.
        options: for its `suggestion`, e.g. `threshold`.
    """

    def __init__(self, session: Any, options: dict[str, Any] | None = None) -> None:
        self._entered, self._options = session, options or {}
        self._lock = threading.Lock()
        self._text, self._at = "", session.fork()

    def suggest(self, line: str) -> str:
        """What may follow the line in progress; empty if nothing is sure enough."""
        with self._lock:
            if not line.startswith(self._text):
                self._text, self._at = "", self._entered.fork()
            self._at.push(line[len(self._text) :])
            self._text = line
            found = self._at.suggestion(**self._options)
        return "" if found is None else printable(found.text).replace("\n", " ")

    def enter(self, line: str) -> None:
        """The line is finished: the model goes on from there."""
        with self._lock:
            self._entered.push(line + "\n")
            self._text, self._at = "", self._entered.fork()


def type_with(model: Model, options: dict[str, Any]) -> None:
    """Type until Ctrl-D.

    Args:
        model: one whose sessions suggest.
        options: for `suggestion`.

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
        why = model.fitted.get("threshold_reason") or "it has been fitted for no coverage"
        raise ArgumentError(f"--threshold: this model has none of its own ({why}); name one, e.g. --threshold -1.5")
    typing = Typing(session, options)
    prompt: PromptSession[str] = PromptSession(auto_suggest=auto_suggest(typing), key_bindings=tab_accepts())
    print(HELLO)
    while True:
        try:
            typing.enter(prompt.prompt("> "))
        except KeyboardInterrupt:
            # Ctrl-C drops the line, as in a shell
            continue
        except EOFError:
            return


def auto_suggest(typing: Typing) -> Any:
    """Suggestions for prompt_toolkit, made in a thread so that typing never waits for the model."""
    from prompt_toolkit.auto_suggest import AutoSuggest, Suggestion, ThreadedAutoSuggest
    from prompt_toolkit.buffer import Buffer
    from prompt_toolkit.document import Document

    class FromModel(AutoSuggest):
        def get_suggestion(self, buffer: Buffer, document: Document) -> Suggestion | None:
            if not document.text or not document.is_cursor_at_the_end:
                return None
            found = typing.suggest(document.text)
            return Suggestion(found) if found else None

    return ThreadedAutoSuggest(FromModel())


def tab_accepts() -> Any:
    """Tab puts the suggestion into the line; without one it does nothing."""
    from prompt_toolkit.key_binding import KeyBindings

    bindings = KeyBindings()

    @bindings.add("tab")
    def _accept(event: Any) -> None:
        buffer = event.current_buffer
        if buffer.suggestion and buffer.document.is_cursor_at_the_end:
            buffer.insert_text(buffer.suggestion.text)

    return bindings
