"""Names for types that every room uses. Imports nothing of the package."""

from __future__ import annotations

from typing import Any

#: a JSON object in memory
Json = dict[str, Any]
