"""A text that is still being edited: characters are taken back, words put in the middle, and the stream follows."""

from __future__ import annotations

from typing import Any

from unrolled.errors import StateError
from unrolled.layers import StreamState

#: a snapshot is kept after each of the last RECENT pushes, and of older ones after every EVERY characters
RECENT, EVERY = 64, 256
#: the name under which a saved state carries the text
TYPED = "typed"


class Rewritable:
    """A session over text that can be told what the whole text is now, and reads again only what has changed.

    Sessions are values: keeping one for each of the last pushes costs a state each, and taking a character back
    costs nothing. The text is kept with them, so that unlike a session this grows, by a few bytes a character.

    Args:
        session: of a task that reads text, with nothing read: `push`, `fork`, `reset`, `state` and `resume`.
    """

    def __init__(self, session: Any) -> None:
        self.session, self.text = session, ""
        # how many characters each had read; the session with none comes first
        self._kept: list[tuple[int, Any]] = [(0, session.fork())]

    def fork(self) -> Rewritable:
        """A second one that goes on from here by itself."""
        twin = object.__new__(type(self))
        twin.session, twin.text, twin._kept = self.session.fork(), self.text, list(self._kept)
        return twin

    def reset(self) -> Rewritable:
        """Begin again, with nothing typed."""
        self._kept = self._kept[:1]
        self.session, self.text = self._kept[0][1].fork(), ""
        return self

    def common(self, text: str) -> int:
        """How many characters `text` begins with that have been read already."""
        if text.startswith(self.text):
            return len(self.text)
        most = min(len(text), len(self.text))
        low, high = 0, most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if text[:middle] == self.text[:middle] else (low, middle - 1)
        return low

    def rewind(self, text: str) -> str:
        """Go back to where `text` and what was read are still the same; returns what is to be pushed from there."""
        same = self.common(text)
        if same < len(self.text):
            while self._kept[-1][0] > same:
                self._kept.pop()
            at, snapshot = self._kept[-1]
            self.session, self.text = snapshot.fork(), self.text[:at]
        return text[len(self.text) :]

    def pushed(self, text: str) -> None:
        """Note that the session has read `text`."""
        if not text:
            return
        self.text += text
        self._kept.append((len(self.text), self.session.fork()))
        if len(self._kept) > 2 * RECENT:
            self._thin()

    def _thin(self) -> None:
        old, recent = self._kept[:-RECENT], self._kept[-RECENT:]
        kept = old[:1]
        for at, snapshot in old[1:]:
            if at - kept[-1][0] >= EVERY:
                kept.append((at, snapshot))
        self._kept = kept + recent

    @property
    def snapshots(self) -> int:
        """How many states are kept."""
        return len(self._kept)

    @property
    def state(self) -> StreamState:
        """The session's, and the text with it; bound to the model."""
        found: StreamState = self.session.state
        return StreamState(found.tensors, found.position, found.model, {**found.extra, TYPED: self.text})

    @property
    def fingerprint(self) -> str:
        """Of the model."""
        found: str = self.session.fingerprint
        return found

    def resume(self, saved: StreamState) -> Rewritable:
        """Go on from a state that `state` gave; what comes before it is read anew if it is rewritten.

        Raises:
            StateError: it is not of such a stream.
        """
        text = saved.extra.get(TYPED)
        if not isinstance(text, str):
            raise StateError("the saved state does not say what was typed, and can't be edited; push the text anew")
        empty = self._kept[:1]
        self.session = empty[0][1].fork().resume(saved)
        self.text, self._kept = text, empty
        if text:
            self._kept.append((len(text), self.session.fork()))
        return self
