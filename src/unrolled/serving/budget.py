"""The bytes that all requests together may hold while they come in, wait and are answered."""

from __future__ import annotations

from unrolled.serving.problems import Busy


class Budget:
    """Counts bytes that are held.

    Args:
        most: of them.
    """

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0

    def take(self, count: int) -> None:
        """Hold more.

        Raises:
            Busy: there is no room.
        """
        if self.held + count > self.most:
            raise Busy("the server's memory for requests", 1.0)
        self.held += count

    def give(self, count: int) -> None:
        """Hold less."""
        self.held -= count
