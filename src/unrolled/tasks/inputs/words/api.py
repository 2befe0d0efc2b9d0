"""A text whose words are read one by one, over HTTP."""

from __future__ import annotations

from typing import ClassVar

from unrolled.tasks.inputs.text import api
from unrolled.types import Json


class Api(api.Api):
    """A text, each line of it a sentence; for a stream more of it, or all of it as it is now."""

    example: ClassVar[Json] = {"inputs": ["Ada Lovelace lived in London."]}
    push_example: ClassVar[Json] = {"text": "Ada Lovelace lived "}
