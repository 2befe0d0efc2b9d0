"""How a written text is answered over HTTP."""

from __future__ import annotations

from unrolled.tasks.core.api import OutputApi


class Api(OutputApi):
    """A text. It can't begin before its input has ended, so there are no streams."""
